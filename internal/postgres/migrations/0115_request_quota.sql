-- What API keys, and addresses that guess keys, have left of their quotas, for all
-- servers together. Not logged: after a crash of the database they are full.

-- +goose Up
CREATE UNLOGGED TABLE request_quota (
    bucket bytea            PRIMARY KEY, -- hash of the key's id, or of the address
    most   integer          NOT NULL,    -- requests in a minute, and at once
    tokens double precision NOT NULL,
    at     timestamptz      NOT NULL
);

-- +goose Down
DROP TABLE request_quota;
