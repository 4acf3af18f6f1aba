-- +goose Up
-- Greylisting hosts know each sending address by itself: who was put off has to come
-- back from the same one.
ALTER TABLE order_item ADD COLUMN retry_queue text;
COMMENT ON COLUMN order_item.retry_queue IS 'while retry_at is set: the task queue of workers that the mail host sees as the one that it put off; NULL: any worker';

-- +goose Down
ALTER TABLE order_item DROP COLUMN retry_queue;
