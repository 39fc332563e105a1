-- Collections of STIX objects that TAXII serves. Times are microseconds since 1970.

CREATE TABLE collections (
  num INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, alias TEXT NOT NULL,
  title TEXT NOT NULL, description TEXT NOT NULL, created_us INTEGER NOT NULL,
  last_added_us INTEGER NOT NULL DEFAULT 0, objects INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX collections_by_alias ON collections (alias) WHERE alias <> '';
CREATE TABLE rights (
  collection INTEGER NOT NULL, subject TEXT NOT NULL, can_read INTEGER NOT NULL,
  can_write INTEGER NOT NULL, PRIMARY KEY (collection, subject)
) WITHOUT ROWID;

-- One row per version of an object. The text stands last, so that a look at the rest reads none of it.
CREATE TABLE objects (
  num INTEGER PRIMARY KEY, collection INTEGER NOT NULL, added_us INTEGER NOT NULL, id TEXT NOT NULL,
  type TEXT NOT NULL, version_us INTEGER NOT NULL, is_first INTEGER NOT NULL,
  is_last INTEGER NOT NULL, version TEXT NOT NULL, size INTEGER NOT NULL, hash BLOB NOT NULL,
  json TEXT NOT NULL
);
-- A page is a walk along one of these from where the last one ended.
CREATE UNIQUE INDEX objects_by_added ON objects (collection, added_us, id);
CREATE INDEX objects_by_type ON objects (collection, type, added_us);
CREATE UNIQUE INDEX objects_by_id ON objects (collection, id, version_us);

CREATE TABLE statuses (
  num INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, person TEXT NOT NULL,
  json TEXT NOT NULL
);
CREATE INDEX statuses_by_person ON statuses (person, num);
