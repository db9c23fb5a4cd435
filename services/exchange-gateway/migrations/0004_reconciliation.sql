CREATE INDEX orders_by_venue_id ON orders (symbol, venue_order_id) WHERE venue_order_id <> '';

-- Who resolved an order in doubt by hand; empty when the exchange's own word, or nobody's, made it what it is.
ALTER TABLE orders ADD COLUMN resolved_by TEXT NOT NULL DEFAULT '';
-- When the exchange told of an order that was thought to have ended otherwise; 0 when it did not.
ALTER TABLE orders ADD COLUMN turned_up_at_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX orders_turned_up ON orders (turned_up_at_ms) WHERE turned_up_at_ms > 0;

-- Deposits and withdrawals that the user data stream told of. The exchange gives them no id: asset, amount and clearing time
-- are it, since an event that comes twice can bear two event times.
CREATE TABLE transfers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    asset TEXT NOT NULL,
    -- Negative for what left.
    delta TEXT NOT NULL,
    -- Exchange time: of the event, and of the clearing.
    event_time_ms INTEGER NOT NULL,
    cleared_at_ms INTEGER NOT NULL,
    -- This machine's clock.
    heard_at_ms INTEGER NOT NULL,
    UNIQUE (asset, delta, cleared_at_ms)
);
CREATE INDEX transfers_by_hearing ON transfers (heard_at_ms);
