-- The first rows of items and lists cost no more than the others.

-- +goose Up
-- An index made on an empty table has a Bloom filter for its first pages at once,
-- and every row that is written there reads, unpacks, packs and writes it again:
-- 0.4 ms a row. Pages that come later have none until they are full and vacuumed.
-- Let the first ones be like them.
SELECT brin_desummarize_range('order_item_person', 0) WHERE pg_relation_size('order_item') < 64 * 8192;
SELECT brin_desummarize_range('list_row_person', 0) WHERE pg_relation_size('list_row') < 32 * 8192;

-- +goose Down
SELECT 1;
