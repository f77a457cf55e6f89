-- Commands in comments: what an environment takes, who on a forge is whom here, and each command once.

ALTER TABLE environments ADD COLUMN comment_commands TEXT NOT NULL DEFAULT 'off';

-- Who may do what. The id is the forge's own, which stays with the account; the login is what it was called then.
CREATE TABLE forge_users (
    integration TEXT NOT NULL REFERENCES integrations (name) ON DELETE CASCADE,
    user_id     TEXT NOT NULL,
    login       TEXT NOT NULL,
    role        TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (integration, user_id)
) STRICT, WITHOUT ROWID;

-- A row a comment, from the moment that it was heard of: it is carried out at most once, whatever happens.
CREATE TABLE comment_commands (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    project     TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    integration TEXT NOT NULL,
    repository  TEXT NOT NULL,
    pull        INTEGER NOT NULL,
    comment_id  INTEGER NOT NULL,
    state       TEXT NOT NULL,
    due_at      INTEGER NOT NULL,
    -- Set once it was taken up: in whose name, where, which plan.
    actor       TEXT,
    environment TEXT,
    plan        TEXT,
    run         INTEGER,
    outcome     TEXT,
    heard_at    INTEGER NOT NULL,
    ended_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX comment_commands_once ON comment_commands (project, integration, repository, comment_id);
CREATE INDEX comment_commands_open ON comment_commands (due_at) WHERE state <> 'done';
CREATE INDEX comment_commands_heard ON comment_commands (project, heard_at);
