-- A run is written down before anything is done, so that one that was cut off can be rolled back.
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY,
    -- RUNNING, ROLLING_BACK or ENDED.
    state TEXT NOT NULL,
    verdict TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    seed INTEGER NOT NULL,
    drill_ids TEXT NOT NULL,
    -- The plan of the run as JSON: program, folders, settings file.
    plan TEXT NOT NULL,
    -- What the environment was like before the first step, as JSON; empty until it was looked at.
    found TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    report TEXT NOT NULL DEFAULT '',
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX runs_by_start ON runs (started_ms DESC, run_id);

CREATE TABLE steps (
    run_id TEXT NOT NULL REFERENCES runs (run_id),
    ordinal INTEGER NOT NULL,
    drill_id TEXT NOT NULL,
    name TEXT NOT NULL,
    action TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    -- 0 while it is under way.
    ended_ms INTEGER NOT NULL DEFAULT 0,
    outcome TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, ordinal)
);
