-- What others shared: who said it, what it is, whether it acts. A source speaks for itself alone, so
-- the same STIX id of two sources is two rows. Times are milliseconds since 1970.

CREATE TABLE import_sources (
  name TEXT PRIMARY KEY, reliability TEXT NOT NULL, note TEXT NOT NULL, graded_by TEXT NOT NULL,
  graded_ms INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE imports (
  source TEXT NOT NULL, id TEXT NOT NULL, campaign TEXT NOT NULL, type TEXT NOT NULL,
  value TEXT NOT NULL, blinded INTEGER NOT NULL, tlp TEXT NOT NULL, credibility INTEGER NOT NULL,
  modified_ms INTEGER NOT NULL, valid_from_ms INTEGER NOT NULL, valid_until_ms INTEGER NOT NULL,
  revoked_ms INTEGER NOT NULL, revoked_by TEXT NOT NULL, imported_ms INTEGER NOT NULL,
  imported_by TEXT NOT NULL, PRIMARY KEY (source, id)
) WITHOUT ROWID;

-- Which campaign here matched which indicator, by the campaign's lasting id.
CREATE TABLE import_hits (
  campaign_id TEXT NOT NULL, source TEXT NOT NULL, id TEXT NOT NULL, accounts INTEGER NOT NULL,
  exchanges INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  PRIMARY KEY (campaign_id, source, id)
) WITHOUT ROWID;
CREATE INDEX import_hits_by_source ON import_hits (source, id);
