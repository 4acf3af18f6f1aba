-- Grants that start later: their credits wait until then, part of the grant and
-- not of the account's balance.

-- +goose Up
ALTER TABLE credit_grant
    ADD COLUMN starts_at timestamptz,                -- NULL = started when it was granted
    ADD COLUMN waiting   bigint NOT NULL DEFAULT 0,  -- not there before starts_at
    DROP CONSTRAINT ledger_i2_grant_not_negative,
    DROP CONSTRAINT ledger_i3_grant_sum,
    DROP CONSTRAINT ledger_i3_grant_live,
    ADD CONSTRAINT ledger_i2_grant_not_negative CHECK (amount > 0 AND waiting >= 0 AND available >= 0 AND held >= 0 AND captured >= 0 AND expired >= 0 AND voided >= 0),
    ADD CONSTRAINT ledger_i3_grant_sum CHECK (amount = waiting + available + held + captured + expired + voided),
    ADD CONSTRAINT ledger_i3_grant_live CHECK (live = (waiting + available + held > 0)),
    ADD CONSTRAINT ledger_i9_grant_waits_for_its_start CHECK (waiting = 0 OR starts_at IS NOT NULL);

-- +goose Down
ALTER TABLE credit_grant
    DROP CONSTRAINT ledger_i9_grant_waits_for_its_start,
    DROP CONSTRAINT ledger_i2_grant_not_negative,
    DROP CONSTRAINT ledger_i3_grant_sum,
    DROP CONSTRAINT ledger_i3_grant_live,
    DROP COLUMN waiting,
    DROP COLUMN starts_at,
    ADD CONSTRAINT ledger_i2_grant_not_negative CHECK (amount > 0 AND available >= 0 AND held >= 0 AND captured >= 0 AND expired >= 0 AND voided >= 0),
    ADD CONSTRAINT ledger_i3_grant_sum CHECK (amount = available + held + captured + expired + voided),
    ADD CONSTRAINT ledger_i3_grant_live CHECK (live = (available + held > 0));
