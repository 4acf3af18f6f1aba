-- Items that another item of an order stands for are counted as duplicates, not as
-- unknown. Rows that a list says twice are duplicates, too, and were not selected.

-- +goose Up
ALTER TABLE orders DROP CONSTRAINT order_o3_tally_complete, ADD CONSTRAINT order_o3_tally_complete CHECK (
    status NOT IN ('completed', 'settled') OR
    valid + invalid + catch_all + risky + disposable + "unknown" + duplicate >= selected);

-- +goose Down
ALTER TABLE orders DROP CONSTRAINT order_o3_tally_complete, ADD CONSTRAINT order_o3_tally_complete CHECK (
    status NOT IN ('completed', 'settled') OR
    valid + invalid + catch_all + risky + disposable + "unknown" = selected) NOT VALID;
