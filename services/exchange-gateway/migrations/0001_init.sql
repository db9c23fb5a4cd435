-- One row per client_order_id, for ever: an id makes at most one order.
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY,
    payload_hash TEXT NOT NULL,
    symbol TEXT NOT NULL,
    base_asset TEXT NOT NULL,
    quote_asset TEXT NOT NULL,
    side TEXT NOT NULL,
    order_type TEXT NOT NULL,
    time_in_force TEXT NOT NULL,
    -- Base; empty when the order is given in quote.
    quantity TEXT NOT NULL,
    -- Quote; empty when the order is given in base.
    quote_amount TEXT NOT NULL,
    limit_price TEXT NOT NULL,
    strategy_id TEXT NOT NULL,
    -- Quote: what the order can be worth at most.
    notional TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    checks TEXT NOT NULL,
    venue_order_id TEXT NOT NULL,
    executed_quantity TEXT NOT NULL,
    executed_quote TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    -- Exchange time, or the latest that it can have been; 0 before it is known.
    signed_timestamp_ms INTEGER NOT NULL,
    recv_window_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    resolved_at_ms INTEGER NOT NULL,
    -- The exchange has told of more execution than we have fills of.
    fills_missing INTEGER NOT NULL,
    trace_id TEXT NOT NULL
);
CREATE INDEX orders_by_state ON orders (state);
CREATE INDEX orders_by_creation ON orders (created_at_ms, client_order_id);

-- Every fill of ours; kept until position has it, and afterwards as the journal.
CREATE TABLE fills (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    symbol TEXT NOT NULL,
    trade_id INTEGER NOT NULL,
    client_order_id TEXT NOT NULL,
    quantity TEXT NOT NULL,
    body BLOB NOT NULL,
    -- The book revision that holds it; NULL while position does not have it.
    delivered_revision INTEGER,
    UNIQUE (symbol, trade_id)
);
CREATE INDEX fills_by_order ON fills (client_order_id);
CREATE INDEX fills_undelivered ON fills (id) WHERE delivered_revision IS NULL;

-- What the account holds by our own count: the baseline and our own fills since.
CREATE TABLE holdings (
    asset TEXT PRIMARY KEY,
    quantity TEXT NOT NULL
);

CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
