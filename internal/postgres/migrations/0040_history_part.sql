-- +goose Up

-- What the history of an organization can be filtered by, for each 16 consecutive
-- journal entries of a block in credit_history_block: a Bloom filter of the block.
-- Readers make both tables at the same time, so that blocks made before are made again.
CREATE TABLE credit_history_part (
    owner text   NOT NULL,
    block bigint NOT NULL,
    bloom bytea  NOT NULL,
    PRIMARY KEY (owner, block)
) WITH (toast_tuple_target = 8160);
ALTER TABLE credit_history_part ALTER COLUMN bloom SET STORAGE EXTERNAL;
DELETE FROM credit_history_block;

-- +goose Down
DROP TABLE credit_history_part;
