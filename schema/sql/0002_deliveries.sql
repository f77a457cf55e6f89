-- Webhooks: the secret that proves their deliveries, and the inbox that holds them.

ALTER TABLE projects ADD COLUMN webhook_secret TEXT;

-- One row a delivery, small, as its state is written again; what was sent lies beside it. project is NULL where the
-- repository is only found by reading the body.
CREATE TABLE deliveries (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    forge       TEXT NOT NULL,
    project     TEXT REFERENCES projects (name) ON DELETE CASCADE,
    delivery_id TEXT,
    sha256      BLOB NOT NULL,
    bytes       INTEGER NOT NULL,
    headers     TEXT NOT NULL,
    state       TEXT NOT NULL,
    error       TEXT,
    replays     INTEGER NOT NULL DEFAULT 0,
    received_at INTEGER NOT NULL,
    settled_at  INTEGER
) STRICT;
CREATE UNIQUE INDEX deliveries_once ON deliveries (project, forge, delivery_id)
    WHERE project IS NOT NULL AND delivery_id IS NOT NULL;
CREATE UNIQUE INDEX deliveries_once_without_project ON deliveries (forge, delivery_id)
    WHERE project IS NULL AND delivery_id IS NOT NULL;
CREATE INDEX deliveries_by_hash ON deliveries (sha256) WHERE delivery_id IS NULL;
CREATE INDEX deliveries_waiting ON deliveries (id) WHERE state = 'received';

CREATE TABLE delivery_bodies (
    delivery INTEGER PRIMARY KEY REFERENCES deliveries (id) ON DELETE CASCADE,
    body     BLOB NOT NULL
) STRICT;
