-- What a halt that cancels or flattens has to carry out; one row for each change of such a halt, for ever.
CREATE TABLE stops (
    halt_epoch INTEGER PRIMARY KEY,
    strategy_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    level TEXT NOT NULL,
    -- RUNNING, DONE, INCOMPLETE or ENDED.
    state TEXT NOT NULL,
    begun_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL
);

-- The orders that a halt cancels: what was live in its scope when it began, and every BUY that turned up later.
CREATE TABLE stop_orders (
    halt_epoch INTEGER NOT NULL,
    client_order_id TEXT NOT NULL,
    -- The exchange, asked afterwards, said that it is not open.
    confirmed INTEGER NOT NULL,
    PRIMARY KEY (halt_epoch, client_order_id)
);
