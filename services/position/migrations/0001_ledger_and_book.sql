-- Decimals are TEXT in plain notation; times are milliseconds since 1970-01-01 UTC.

-- What the exchange said. Rows are only ever added.
CREATE TABLE fills (
    symbol           TEXT   NOT NULL,
    trade_id         BIGINT NOT NULL,
    base_asset       TEXT   NOT NULL,
    quote_asset      TEXT   NOT NULL,
    side             TEXT   NOT NULL CHECK (side IN ('BUY', 'SELL')),
    price            TEXT   NOT NULL,
    quantity         TEXT   NOT NULL,
    quote_quantity   TEXT   NOT NULL,
    commission       TEXT   NOT NULL,
    commission_asset TEXT   NOT NULL,
    executed_at_ms   BIGINT NOT NULL,
    venue_order_id   TEXT   NOT NULL,
    client_order_id  TEXT   NOT NULL,
    strategy_id      TEXT   NOT NULL,
    is_maker         BIGINT NOT NULL CHECK (is_maker IN (0, 1)),
    source           TEXT   NOT NULL,
    recorded_at_ms   BIGINT NOT NULL,
    -- The first revision of the book that holds this fill.
    revision         BIGINT NOT NULL,
    PRIMARY KEY (symbol, trade_id)
);

CREATE INDEX fills_in_order_of_symbol ON fills (symbol, executed_at_ms, trade_id);
CREATE INDEX fills_in_order ON fills (executed_at_ms, symbol, trade_id);

-- The fold of the ledger, one row a symbol. It can always be made again from `fills`; at start it is.
CREATE TABLE book (
    symbol              TEXT   NOT NULL PRIMARY KEY,
    base_asset          TEXT   NOT NULL,
    quote_asset         TEXT   NOT NULL,
    -- Negative for a short position.
    quantity            TEXT   NOT NULL,
    cost                TEXT   NOT NULL,
    realized_pnl        TEXT   NOT NULL,
    fill_count          BIGINT NOT NULL,
    opened_at_ms        BIGINT NOT NULL,
    updated_at_ms       BIGINT NOT NULL,
    last_executed_at_ms BIGINT NOT NULL,
    last_trade_id       BIGINT NOT NULL
);

-- Realised P&L by UTC day; `day` counts days since 1970-01-01.
CREATE TABLE book_days (
    symbol       TEXT   NOT NULL,
    day          BIGINT NOT NULL,
    realized_pnl TEXT   NOT NULL,
    PRIMARY KEY (symbol, day)
);

CREATE TABLE book_fees (
    symbol TEXT   NOT NULL,
    day    BIGINT NOT NULL,
    asset  TEXT   NOT NULL,
    amount TEXT   NOT NULL,
    PRIMARY KEY (symbol, day, asset)
);

CREATE TABLE book_revision (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);

INSERT INTO book_revision (id, revision) VALUES (1, 0);

-- What an account held before the first fill.
CREATE TABLE baselines (
    account        TEXT   NOT NULL PRIMARY KEY,
    taken_at_ms    BIGINT NOT NULL,
    reason         TEXT   NOT NULL,
    actor          TEXT   NOT NULL,
    recorded_at_ms BIGINT NOT NULL
);

CREATE TABLE baseline_balances (
    account TEXT NOT NULL,
    asset   TEXT NOT NULL,
    free    TEXT NOT NULL,
    locked  TEXT NOT NULL,
    PRIMARY KEY (account, asset)
);

CREATE TABLE baseline_cursors (
    account       TEXT   NOT NULL,
    symbol        TEXT   NOT NULL,
    last_trade_id BIGINT NOT NULL,
    PRIMARY KEY (account, symbol)
);
