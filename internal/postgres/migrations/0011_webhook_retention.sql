-- What was told long ago is removed, an event with its deliveries.

-- +goose Up
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
CREATE INDEX webhook_delivery_event ON webhook_delivery (event);

-- +goose Down
DROP INDEX webhook_delivery_event;
DROP INDEX outbox_published;
