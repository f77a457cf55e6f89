-- The user name that a repository over http(s) takes with the project's credential; NULL: one that forges take with a token.
ALTER TABLE projects ADD COLUMN user TEXT;

-- What the tracked ref of an environment was when its file was read last: what it takes to read that commit again, out of
-- the mirror, while the repository cannot be asked. version is NULL where no version was asked for, else JSON: the
-- commit's tag, or null where it has none.
CREATE TABLE read_refs (
    project     TEXT NOT NULL,
    environment TEXT NOT NULL,
    reference   TEXT NOT NULL,
    full_name   TEXT NOT NULL,
    commit_id   TEXT NOT NULL,
    version     TEXT,
    PRIMARY KEY (project, environment),
    FOREIGN KEY (project, environment) REFERENCES environments (project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
