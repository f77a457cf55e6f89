-- Registered outside services, how they are doing, and what happened, told to whoever listens.

CREATE TABLE integrations (
    name       TEXT PRIMARY KEY,
    type       TEXT NOT NULL,
    provider   TEXT NOT NULL,
    endpoint   TEXT NOT NULL,
    -- A reference to a credential; never a value.
    auth       TEXT,
    settings   TEXT NOT NULL,
    owner      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE integration_healths (
    integration TEXT PRIMARY KEY REFERENCES integrations (name) ON DELETE CASCADE,
    health      TEXT NOT NULL,
    reason      TEXT,
    since       INTEGER NOT NULL,
    checked_at  INTEGER NOT NULL,
    latency_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- NULL: read by its URL alone, and reported nowhere.
ALTER TABLE projects ADD COLUMN integration TEXT REFERENCES integrations (name);
-- Its name on the forge where the URL does not say it.
ALTER TABLE projects ADD COLUMN repository TEXT;
CREATE INDEX projects_by_integration ON projects (integration);

-- The newest events; the oldest go as new ones come. AUTOINCREMENT: an id is never given twice, so that whoever was
-- away can say up to where they have heard.
CREATE TABLE events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    type    TEXT NOT NULL,
    subject TEXT NOT NULL,
    data    TEXT NOT NULL
) STRICT;

-- Up to which event each notification webhook was served. Targets are named by a hash, as their URL may be confidential.
CREATE TABLE notify_cursors (
    target    TEXT PRIMARY KEY,
    event     INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    retry_at  INTEGER,
    last_error TEXT
) STRICT, WITHOUT ROWID;
