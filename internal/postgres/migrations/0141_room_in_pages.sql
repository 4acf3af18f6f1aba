-- Rows are changed where they stand.

-- +goose Up
-- What is delivered, charged and shown of an order changes several times while it is
-- carried out. With room in its page it changes there, and no index does.
ALTER TABLE orders SET (fillfactor = 60);

-- A page that is full of verdicts holds as many deliveries beside them, and nothing else.
ALTER TABLE order_item SET (fillfactor = 37);

-- +goose Down
ALTER TABLE order_item SET (fillfactor = 35);
ALTER TABLE orders RESET (fillfactor);
