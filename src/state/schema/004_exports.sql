-- What leaves only when two persons answer for it, and how far each collection of others was read.
-- Times are milliseconds since 1970.

CREATE TABLE exports (
  id INTEGER PRIMARY KEY, revision INTEGER NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL,
  campaign_id TEXT NOT NULL, campaign_name TEXT NOT NULL, audience TEXT NOT NULL,
  issuer TEXT NOT NULL, note TEXT NOT NULL, proposed_by TEXT NOT NULL, proposed_ms INTEGER NOT NULL,
  decided_by TEXT NOT NULL, decided_ms INTEGER NOT NULL, digest TEXT NOT NULL, summary TEXT NOT NULL
);
CREATE INDEX exports_by_digest ON exports (digest);

-- They were one note before.
INSERT INTO exports
  SELECT json_extract(e.value, '$.id'), json_extract(e.value, '$.revision'), 'campaign',
    json_extract(e.value, '$.status'), json_extract(e.value, '$.campaign_id'),
    json_extract(e.value, '$.campaign_name'), json_extract(e.value, '$.audience'),
    json_extract(e.value, '$.issuer'), json_extract(e.value, '$.note'),
    json_extract(e.value, '$.proposed_by'), json_extract(e.value, '$.proposed_ms'),
    json_extract(e.value, '$.decided_by'), json_extract(e.value, '$.decided_ms'),
    json_extract(e.value, '$.digest'), json_extract(e.value, '$.summary')
  FROM notes n, json_each(CAST(n.value AS TEXT)) e WHERE n.key = 'sharing.exports';
DELETE FROM notes WHERE key = 'sharing.exports';

-- What others say they saw in their own traffic.
CREATE TABLE import_sightings (
  source TEXT NOT NULL, id TEXT NOT NULL, of TEXT NOT NULL, exchanges INTEGER NOT NULL,
  first_seen_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL,
  revoked INTEGER NOT NULL, imported_ms INTEGER NOT NULL, PRIMARY KEY (source, id)
) WITHOUT ROWID;

CREATE TABLE import_marks (
  source TEXT NOT NULL, collection TEXT NOT NULL, added_after TEXT NOT NULL, ms INTEGER NOT NULL,
  PRIMARY KEY (source, collection)
) WITHOUT ROWID;
