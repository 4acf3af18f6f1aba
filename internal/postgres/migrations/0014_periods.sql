-- +goose Up

-- When some of a grant's credits are lost although they do not expire then: what
-- exceeds the cap on what rolls over. They are spent before what lives longer.
ALTER TABLE credit_grant ADD burn_by timestamptz;
ALTER TABLE credit_account ADD carry_burn_by timestamptz;

-- Every request asks whether a period of its organization is over.
CREATE INDEX subscription_due_of_org ON subscription (org, due_at);

-- +goose Down
DROP INDEX subscription_due_of_org;
ALTER TABLE credit_account DROP carry_burn_by;
ALTER TABLE credit_grant DROP burn_by;
