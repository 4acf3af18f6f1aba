-- Organizations are suspended and closed, members removed. Nothing of them is
-- deleted: their orders, charges and history stay true.

-- +goose Up
ALTER TABLE organization
    ADD COLUMN suspended_at timestamptz, -- NULL = it may order
    ADD COLUMN closed_at    timestamptz, -- NULL = it is open; closing is for good
    ADD COLUMN erased_at    timestamptz, -- its contact data was erased when or after it was closed
    ADD CONSTRAINT account_i8_erased_is_closed CHECK (erased_at IS NULL OR closed_at IS NOT NULL);

ALTER TABLE member
    ADD COLUMN removed_at timestamptz; -- NULL = the licence is in force

-- +goose Down
ALTER TABLE member DROP COLUMN removed_at;
ALTER TABLE organization
    DROP CONSTRAINT account_i8_erased_is_closed,
    DROP COLUMN erased_at,
    DROP COLUMN closed_at,
    DROP COLUMN suspended_at;
