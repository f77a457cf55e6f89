-- What is to be said on forges, and what became of it; and the pull requests that it is said of.

-- Of several rows about one topic only the newest waits: what it takes the place of is superseded, unposted.
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    environment TEXT,
    pull        INTEGER,
    commit_id   TEXT,
    kind        TEXT NOT NULL,
    topic       TEXT NOT NULL,
    -- JSON: what the forge is to be asked. Holds no credential.
    payload     TEXT NOT NULL,
    sha256      BLOB NOT NULL,
    state       TEXT NOT NULL,
    attempts    INTEGER NOT NULL,
    -- Whether someone asked for it by hand.
    by_hand     INTEGER NOT NULL DEFAULT 0,
    due_at      INTEGER NOT NULL,
    error       TEXT,
    -- When what it tells of was heard of; NULL where nobody waits for it.
    heard_at    INTEGER,
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX outbox_one_waits ON outbox (topic) WHERE state = 'waiting';
CREATE UNIQUE INDEX outbox_one_posts ON outbox (topic) WHERE state = 'posting';
CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 'waiting';
CREATE INDEX outbox_ended ON outbox (ended_at) WHERE ended_at IS NOT NULL;

-- What stands on the forge: where, and which text.
CREATE TABLE posted (
    topic     TEXT PRIMARY KEY,
    project   TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    remote_id TEXT,
    url       TEXT,
    sha256    BLOB NOT NULL,
    posted_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Pull requests that are reported on. `facts` is what the forge said last, NULL until it was asked.
CREATE TABLE pulls (
    project    TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    stage      TEXT NOT NULL,
    facts      TEXT,
    -- From when on it is to be planned; NULL where nothing asks for it.
    due_at     INTEGER,
    heard_at   INTEGER,
    planned_at INTEGER,
    failures   INTEGER NOT NULL,
    PRIMARY KEY (project, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX pulls_due ON pulls (due_at) WHERE due_at IS NOT NULL;
