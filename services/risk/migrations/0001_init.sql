CREATE TABLE kill_switch (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    active INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL
);

-- Only when they were changed by RPC; until then the settings hold.
CREATE TABLE limits (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    body TEXT NOT NULL
);

-- Who may hold a lease: written before the first grant, so that a restarted risk knows whom to wait for.
CREATE TABLE lease_holders (
    account TEXT PRIMARY KEY,
    gateway_id TEXT NOT NULL,
    incarnation TEXT NOT NULL
);

CREATE TABLE alerts (
    alert_id TEXT PRIMARY KEY,
    text TEXT NOT NULL,
    raised_at_ms INTEGER NOT NULL,
    kill_switch INTEGER NOT NULL,
    accepted_at_ms INTEGER
);
