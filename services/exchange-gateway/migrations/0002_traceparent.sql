-- W3C traceparent of the order's submission: what happens to it later belongs to the same trace. Empty when unknown.
ALTER TABLE orders ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';
