-- Grants that are used up or over, by account: balances that follow the journal
-- add up the accounts that it names, and what was captured from such grants counts.
-- Rows get into it once and stay; those in credit_grant_live are the others.

-- +goose Up
CREATE INDEX credit_grant_over ON credit_grant (owner, pool, type) WHERE NOT live;

-- +goose Down
DROP INDEX credit_grant_over;
