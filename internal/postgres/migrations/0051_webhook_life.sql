-- Webhooks that rest, and two secrets for a day. Constraint names carry the
-- invariant numbers of internal/webhook/README.md.

-- +goose Up
ALTER TABLE webhook_endpoint
    ADD COLUMN paused_at        timestamptz, -- events wait; NULL = they are sent
    ADD COLUMN old_secret       bytea,       -- signs beside the new one until then
    ADD COLUMN old_secret_until timestamptz,
    ADD CONSTRAINT webhook_w2_old_secret CHECK ((old_secret IS NULL) = (old_secret_until IS NULL));
CREATE INDEX outbox_of_org ON outbox (org, id);

-- +goose Down
DROP INDEX outbox_of_org;
ALTER TABLE webhook_endpoint
    DROP CONSTRAINT webhook_w2_old_secret,
    DROP COLUMN old_secret_until,
    DROP COLUMN old_secret,
    DROP COLUMN paused_at;
