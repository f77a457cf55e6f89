-- What leaves the house about an environment, and the newest report on each pull request.

ALTER TABLE environments ADD COLUMN report_detail TEXT NOT NULL DEFAULT 'full';
ALTER TABLE environments ADD COLUMN plan_forks INTEGER NOT NULL DEFAULT 0;

CREATE TABLE pull_reports (
    project TEXT NOT NULL REFERENCES projects (name) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    -- JSON; holds no value that may not be seen outside.
    body    TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (project, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX pull_reports_by_age ON pull_reports (made_at);
