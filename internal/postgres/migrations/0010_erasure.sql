-- Finding a person again, to erase them, and having nothing of them anywhere
-- else. What it is for is in internal/erasure/README.md.

-- +goose Up
-- Where an address stands among hundreds of millions of items and rows is asked
-- a few times a day at most, so it must cost those who write them nothing: a
-- Bloom filter for every half a megabyte says where it cannot be. Pages that
-- are new have none until they are full and vacuumed; they are read.
CREATE INDEX order_item_person ON order_item USING brin (
    lower(value) text_bloom_ops (n_distinct_per_range = 2000, false_positive_rate = 0.005),
    lead_no int8_bloom_ops (n_distinct_per_range = 2000, false_positive_rate = 0.005)
) WITH (pages_per_range = 64, autosummarize = on);
CREATE INDEX list_row_person ON list_row USING brin (
    lower(email) text_bloom_ops (n_distinct_per_range = 2000, false_positive_rate = 0.005)
) WITH (pages_per_range = 32, autosummarize = on);

-- Imports and uploads ask who was erased, running orders what is new.
CREATE INDEX suppression_erased ON suppression (subject) WHERE reason = 'erased';
CREATE INDEX suppression_added ON suppression (added_at);

-- The planner's statistics quote values, and keep them for as long as they like.
-- Nearly every value of these columns is one of its kind, so statistics of them
-- are of no use. Giving a column its own type drops those there are.
ALTER TABLE lead
    ALTER email TYPE text, ALTER email SET STATISTICS 0,
    ALTER first_name TYPE text, ALTER first_name SET STATISTICS 0,
    ALTER last_name TYPE text, ALTER last_name SET STATISTICS 0,
    ALTER phone TYPE text, ALTER phone SET STATISTICS 0,
    ALTER direct_email TYPE text, ALTER direct_email SET STATISTICS 0,
    ALTER profile TYPE text, ALTER profile SET STATISTICS 0;
ALTER TABLE order_item
    ALTER value TYPE text, ALTER value SET STATISTICS 0,
    ALTER smtp_text TYPE text, ALTER smtp_text SET STATISTICS 0;
ALTER TABLE list_row
    ALTER email TYPE text, ALTER email SET STATISTICS 0,
    ALTER cells TYPE text[], ALTER cells SET STATISTICS 0;
-- Nor of what indexes make of them.
-- +goose StatementBegin
DO $$
DECLARE change text;
BEGIN
    FOR change IN
        SELECT format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS 0', a.attrelid::regclass, a.attnum)
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid
        WHERE i.indrelid IN ('lead'::regclass, 'order_item'::regclass, 'list_row'::regclass)
            AND i.indkey[a.attnum - 1] = 0 AND pg_get_indexdef(i.indexrelid, a.attnum, true) ~ '(email|first_name|value)'
    LOOP
        EXECUTE change;
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE change text;
BEGIN
    FOR change IN
        SELECT format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS -1', a.attrelid::regclass, a.attnum)
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid
        WHERE i.indrelid IN ('lead'::regclass, 'order_item'::regclass, 'list_row'::regclass)
            AND i.indkey[a.attnum - 1] = 0 AND pg_get_indexdef(i.indexrelid, a.attnum, true) ~ '(email|first_name|value)'
    LOOP
        EXECUTE change;
    END LOOP;
END $$;
-- +goose StatementEnd
ALTER TABLE list_row ALTER email SET STATISTICS -1, ALTER cells SET STATISTICS -1;
ALTER TABLE order_item ALTER value SET STATISTICS -1, ALTER smtp_text SET STATISTICS -1;
ALTER TABLE lead
    ALTER email SET STATISTICS -1, ALTER first_name SET STATISTICS -1, ALTER last_name SET STATISTICS -1,
    ALTER phone SET STATISTICS -1, ALTER direct_email SET STATISTICS -1, ALTER profile SET STATISTICS -1;
DROP INDEX suppression_added;
DROP INDEX suppression_erased;
DROP INDEX list_row_person;
DROP INDEX order_item_person;
