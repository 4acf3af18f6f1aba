-- +goose Up
ALTER TABLE orders
    ADD COLUMN results_removed_at timestamptz, -- since when the results of an order that is over are not kept any more
    ADD CONSTRAINT order_o11_removed_after_end CHECK (results_removed_at IS NULL OR settled_at IS NOT NULL) NOT VALID;
CREATE INDEX orders_with_results ON orders (settled_at, id) WHERE results_removed_at IS NULL;

-- +goose Down
DROP INDEX orders_with_results;
ALTER TABLE orders
    DROP CONSTRAINT order_o11_removed_after_end,
    DROP COLUMN results_removed_at;
