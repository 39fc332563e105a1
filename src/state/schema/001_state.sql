-- What people decided and what serve must remember. Times are milliseconds since 1970. A row's
-- revision counts its changes; a writer names the one it saw, so that the second of two is told.

CREATE TABLE changes (topic TEXT PRIMARY KEY, counter INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE tokens (
  id TEXT PRIMARY KEY, person TEXT NOT NULL, label TEXT NOT NULL, roles INTEGER NOT NULL,
  hash BLOB NOT NULL, created_ms INTEGER NOT NULL, created_by TEXT NOT NULL,
  expires_ms INTEGER NOT NULL, revoked_ms INTEGER NOT NULL, revoked_by TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE policies (
  version INTEGER PRIMARY KEY AUTOINCREMENT, revision INTEGER NOT NULL, status TEXT NOT NULL,
  text TEXT NOT NULL, hash TEXT NOT NULL, note TEXT NOT NULL, touched INTEGER NOT NULL,
  approval_above INTEGER NOT NULL,
  proposed_by TEXT NOT NULL, proposed_ms INTEGER NOT NULL,
  activated_by TEXT NOT NULL, activated_ms INTEGER NOT NULL
);
CREATE TABLE policy_approvals (
  version INTEGER NOT NULL, person TEXT NOT NULL, ms INTEGER NOT NULL, touched INTEGER NOT NULL,
  note TEXT NOT NULL, PRIMARY KEY (version, person)
) WITHOUT ROWID;
-- Which version was in force when; the last row is the active one.
CREATE TABLE policy_activations (
  id INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL, kind TEXT NOT NULL,
  person TEXT NOT NULL, ms INTEGER NOT NULL, note TEXT NOT NULL
);

CREATE TABLE appeals (
  ref TEXT PRIMARY KEY, revision INTEGER NOT NULL, status TEXT NOT NULL, account_id TEXT NOT NULL,
  campaign_id TEXT NOT NULL, message TEXT NOT NULL, opened_by TEXT NOT NULL,
  opened_ms INTEGER NOT NULL, decided_by TEXT NOT NULL, decided_ms INTEGER NOT NULL,
  reason TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX appeals_by_status ON appeals (status, opened_ms);
CREATE INDEX appeals_by_account ON appeals (account_id);
CREATE TABLE overturned (
  account_id TEXT NOT NULL, campaign_id TEXT NOT NULL, ref TEXT NOT NULL, person TEXT NOT NULL,
  ms INTEGER NOT NULL, PRIMARY KEY (account_id, campaign_id, ref)
) WITHOUT ROWID;

-- Every disposition ever given; the highest revision of a campaign holds.
CREATE TABLE dispositions (
  campaign_id TEXT NOT NULL, revision INTEGER NOT NULL, value TEXT NOT NULL,
  look_alike TEXT NOT NULL, reason TEXT NOT NULL, note TEXT NOT NULL, person TEXT NOT NULL,
  ms INTEGER NOT NULL, finding_id TEXT NOT NULL, families TEXT NOT NULL,
  PRIMARY KEY (campaign_id, revision)
) WITHOUT ROWID;

CREATE TABLE attestations (
  account_id TEXT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL, valid_until_ms INTEGER NOT NULL,
  source TEXT NOT NULL, person TEXT NOT NULL, ms INTEGER NOT NULL, PRIMARY KEY (account_id, kind)
) WITHOUT ROWID;

CREATE TABLE lists (
  name TEXT PRIMARY KEY, revision INTEGER NOT NULL, note TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE list_entries (
  list TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL, expires_ms INTEGER NOT NULL,
  person TEXT NOT NULL, ms INTEGER NOT NULL, PRIMARY KEY (list, value)
) WITHOUT ROWID;
-- Changes of lists that wait for a second person, and those that had one.
CREATE TABLE list_changes (
  id INTEGER PRIMARY KEY AUTOINCREMENT, list TEXT NOT NULL, base_revision INTEGER NOT NULL,
  status TEXT NOT NULL, payload TEXT NOT NULL, entries INTEGER NOT NULL, touched INTEGER NOT NULL,
  proposed_by TEXT NOT NULL, proposed_ms INTEGER NOT NULL,
  decided_by TEXT NOT NULL, decided_ms INTEGER NOT NULL
);

CREATE TABLE permit_usage (
  permit_id TEXT PRIMARY KEY, used INTEGER NOT NULL, ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Campaigns under the identity that they keep while they grow, merge and split.
CREATE TABLE campaigns (
  id TEXT PRIMARY KEY, revision INTEGER NOT NULL, finding_id TEXT NOT NULL, name TEXT NOT NULL,
  status TEXT NOT NULL, merged_into TEXT NOT NULL, verdict TEXT NOT NULL,
  probability REAL NOT NULL, rival TEXT NOT NULL, rival_probability REAL NOT NULL,
  accounts INTEGER NOT NULL, exchanges INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
  first_seen_ms INTEGER NOT NULL, last_seen_ms INTEGER NOT NULL, capability TEXT NOT NULL,
  families TEXT NOT NULL, opened_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL,
  disposition TEXT NOT NULL DEFAULT '', disposition_revision INTEGER NOT NULL DEFAULT 0,
  owner TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
-- Apart, so that a list of campaigns need not read it.
CREATE TABLE campaign_json (campaign_id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX campaigns_by_exchanges ON campaigns (status, exchanges);
CREATE INDEX campaigns_by_change ON campaigns (status, changed_ms);
CREATE TABLE campaign_members (
  campaign_id TEXT NOT NULL, account_id TEXT NOT NULL, pool_id TEXT NOT NULL, verdict TEXT NOT NULL,
  probability REAL NOT NULL, exchanges INTEGER NOT NULL, attributed INTEGER NOT NULL,
  why TEXT NOT NULL, PRIMARY KEY (campaign_id, account_id)
) WITHOUT ROWID;
CREATE INDEX members_by_account ON campaign_members (account_id);
CREATE TABLE campaign_events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, campaign_id TEXT NOT NULL, ms INTEGER NOT NULL,
  pass INTEGER NOT NULL, kind TEXT NOT NULL, details TEXT NOT NULL
);
CREATE INDEX events_by_campaign ON campaign_events (campaign_id, id);
CREATE TABLE passes (
  id INTEGER PRIMARY KEY AUTOINCREMENT, began_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL,
  since_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, details TEXT NOT NULL
);
-- Small things that a module must find again after a restart.
CREATE TABLE notes (
  key TEXT PRIMARY KEY, revision INTEGER NOT NULL, value BLOB NOT NULL
) WITHOUT ROWID;
