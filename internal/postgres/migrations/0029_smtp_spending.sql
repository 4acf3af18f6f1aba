-- +goose Up
-- How many addresses each sending identity has asked a provider's mail hosts for,
-- by hour, so that budgets hold for all workers together and across restarts.
-- Rows of past days are deleted.
CREATE TABLE smtp_spending (
    identity text        NOT NULL,
    hour     timestamptz NOT NULL, -- its beginning, UTC
    provider text        NOT NULL,
    asked    bigint      NOT NULL,
    PRIMARY KEY (identity, hour, provider),
    CONSTRAINT smtp_spending_v14 CHECK (asked >= 0)
);

-- +goose Down
DROP TABLE smtp_spending;
