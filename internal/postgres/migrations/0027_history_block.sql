-- +goose Up

-- What the history of an organization can be filtered by, for each 256 consecutive
-- journal entries: a Bloom filter. Readers make it when they first need it and
-- pass over what it rules out; entries without a row are read.
CREATE TABLE credit_history_block (
    owner text   NOT NULL,
    block bigint NOT NULL, -- block n is of the entries 256n+1 to 256n+256
    bloom bytea  NOT NULL,
    PRIMARY KEY (owner, block)
) WITH (toast_tuple_target = 8160); -- kept in the row up to there: a filter reads all of them
ALTER TABLE credit_history_block ALTER COLUMN bloom SET STORAGE EXTERNAL;

-- +goose Down
DROP TABLE credit_history_block;
