-- Low-balance thresholds that customers set, in place of their plan's, and the
-- one at which credits are bought automatically. Constraint names carry the
-- invariant number of internal/billing/README.md.

-- +goose Up
CREATE TABLE low_balance (
    org     text   NOT NULL, -- no foreign key: its lock would keep a change of plan waiting
    member  text   NOT NULL DEFAULT '', -- '' = the shared pool
    type    text   NOT NULL,
    rules   jsonb,                      -- NULL = the plan's
    top_up  bigint,                     -- NULL = nothing is bought automatically
    version bigint NOT NULL,
    applied bigint NOT NULL DEFAULT 0,  -- the version that the ledger watches for
    PRIMARY KEY (org, member, type),
    CONSTRAINT billing_b7_version CHECK (version > 0 AND applied BETWEEN 0 AND version),
    CONSTRAINT billing_b7_top_up CHECK (top_up BETWEEN 0 AND 1000000000000)
);
CREATE INDEX low_balance_open ON low_balance (org) WHERE applied < version;

-- +goose Down
DROP TABLE low_balance;
