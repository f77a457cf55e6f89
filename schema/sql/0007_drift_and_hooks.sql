-- Whether what was changed outside Trueup is told in an issue on the forge.
ALTER TABLE environments ADD COLUMN drift_issue INTEGER NOT NULL DEFAULT 0;

-- What was last told of what was changed outside, masked as it was told; no row where nothing is.
CREATE TABLE drift_told (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    -- JSON: the services with their fields.
    services    TEXT NOT NULL,
    told_at     INTEGER NOT NULL,
    PRIMARY KEY (project, environment),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What was said on a topic before.
CREATE INDEX outbox_by_topic ON outbox (topic, id);

-- Which integrations' secrets prove a delivery that was sent to no project, as JSON: it concerns their projects only.
ALTER TABLE deliveries ADD COLUMN via TEXT;

-- When a delivery last told of a move in a project's repository.
CREATE TABLE heard (
    project TEXT NOT NULL PRIMARY KEY REFERENCES projects (name) ON DELETE CASCADE,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
