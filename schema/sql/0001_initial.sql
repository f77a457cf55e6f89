-- The first shape of the database. Times are nanoseconds since 1970 (UTC); JSON columns hold the record of that name.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
    name        TEXT PRIMARY KEY,
    url         TEXT NOT NULL,
    auth        TEXT,
    tracked     TEXT,
    config_path TEXT NOT NULL,
    disabled    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What one commit read for its digest: immutable, and found again by a unique prefix of the digest.
CREATE TABLE plans (
    digest      TEXT PRIMARY KEY,
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    body        TEXT NOT NULL,
    made_at     INTEGER NOT NULL,
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT;
CREATE INDEX plans_by_environment ON plans (project, environment);
CREATE INDEX plans_by_age ON plans (made_at);

CREATE TABLE environments (
    project          TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    name             TEXT NOT NULL,
    provider         TEXT NOT NULL,
    settings         TEXT NOT NULL,
    tracked          TEXT,
    secrets          TEXT NOT NULL,
    template_values  TEXT NOT NULL,
    allow_host_paths TEXT NOT NULL,
    allow_untracked  INTEGER NOT NULL,
    run_as           TEXT,
    created_at       INTEGER NOT NULL,
    -- The plan of the tracked tip with default options; a pointer, so that every other plan stays a side look.
    latest_plan      TEXT REFERENCES plans (digest) ON DELETE SET NULL,
    PRIMARY KEY (project, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX environments_by_latest_plan ON environments (latest_plan);

CREATE TABLE services (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    name        TEXT NOT NULL,
    spec        TEXT NOT NULL,
    PRIMARY KEY (project, environment, name),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE reads (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    state       TEXT NOT NULL,
    reason      TEXT,
    commit_id   TEXT,
    checked_at  INTEGER NOT NULL,
    stale_since INTEGER,
    PRIMARY KEY (project, environment),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a run's number is never given twice, also after the newest run was swept.
CREATE TABLE runs (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    plan        TEXT NOT NULL,
    commit_id   TEXT,
    kind        TEXT NOT NULL,
    actor       TEXT NOT NULL,
    role        TEXT NOT NULL,
    state       TEXT NOT NULL,
    summary     TEXT,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT;
CREATE INDEX runs_by_environment ON runs (project, environment, id);
CREATE INDEX runs_by_plan ON runs (plan);
-- The persisted half of the lock: at most one unfinished run of an environment, whoever asks.
CREATE UNIQUE INDEX runs_unfinished ON runs (project, environment) WHERE state = 'running';

CREATE TABLE journal (
    run      INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    seq      INTEGER NOT NULL,
    service  TEXT,
    intent   TEXT NOT NULL,
    outcome  TEXT,
    begun_at INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_lines (
    run  INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    seq  INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE bases (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    service     TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (project, environment, service),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- What each run left of each service. A NULL body says that the run deleted the service.
CREATE TABLE releases (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    service     TEXT NOT NULL,
    run         INTEGER NOT NULL,
    body        TEXT,
    PRIMARY KEY (project, environment, service, run),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX releases_by_run ON releases (run);

-- The newest release of a service that is no longer kept: what was before it is not known any more, which is not
-- the same as that there was nothing.
CREATE TABLE release_horizons (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    service     TEXT NOT NULL,
    run         INTEGER NOT NULL,
    PRIMARY KEY (project, environment, service),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE drift_marks (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    service     TEXT NOT NULL,
    field       TEXT NOT NULL,
    cause       TEXT NOT NULL,
    since       INTEGER NOT NULL,
    PRIMARY KEY (project, environment, service, field),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE healths (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    service     TEXT NOT NULL,
    health      TEXT NOT NULL,
    -- JSON: its replicas, each with its name and health.
    replicas    TEXT NOT NULL,
    since       INTEGER NOT NULL,
    PRIMARY KEY (project, environment, service),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    name       TEXT PRIMARY KEY,
    role       TEXT NOT NULL,
    sha256     BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- No foreign keys: the log outlives what it speaks of.
CREATE TABLE audit (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at        INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    times     INTEGER NOT NULL,
    actor     TEXT NOT NULL,
    operation TEXT NOT NULL,
    target    TEXT NOT NULL,
    outcome   TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_last ON audit (last_at);
CREATE INDEX audit_by_target ON audit (operation, target, last_at);
