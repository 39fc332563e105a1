-- What the campaign looked like when it was disposed of: calibration is computed from it, and later
-- evidence is compared with it. Of dispositions given before this version: unknown.
ALTER TABLE dispositions ADD COLUMN verdict TEXT NOT NULL DEFAULT '';
ALTER TABLE dispositions ADD COLUMN probability REAL NOT NULL DEFAULT -1;
ALTER TABLE dispositions ADD COLUMN bits REAL NOT NULL DEFAULT 0;
ALTER TABLE dispositions ADD COLUMN exchanges INTEGER NOT NULL DEFAULT 0;
