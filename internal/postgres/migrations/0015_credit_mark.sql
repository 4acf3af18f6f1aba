-- +goose Up

-- What had been charged from an account, less what was credited back, when the
-- current period of its pool began: what is used of the period is the difference.
-- It follows from the journal and is worked out once a period, by whoever asks
-- first; the row with the empty type says that a pool has been looked at.
CREATE TABLE credit_mark (
    owner    text        NOT NULL,
    pool     text        NOT NULL,
    type     text        NOT NULL,
    at       timestamptz NOT NULL, -- when the period began
    captured bigint      NOT NULL,
    PRIMARY KEY (owner, pool, type)
);

-- +goose Down
DROP TABLE credit_mark;
