-- How far the halt of everything goes, when it began, and the counter of all changes of any scope.
ALTER TABLE kill_switch ADD COLUMN level TEXT NOT NULL DEFAULT 'halt';
ALTER TABLE kill_switch ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE kill_switch ADD COLUMN last_epoch INTEGER NOT NULL DEFAULT 0;

-- Halts of one strategy or one symbol that hold.
CREATE TABLE scoped_halts (
    strategy_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    level TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    changed_at_ms INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    PRIMARY KEY (strategy_id, symbol)
);

-- Which triggers are in an excursion that they have fired for, and the day's best P&L.
CREATE TABLE triggers (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    body TEXT NOT NULL
);
