-- What is shown of an order while it runs, kept where it changes instead of
-- counted when it is read. Constraint names carry the invariant numbers of
-- internal/orderbook/README.md (o).

-- +goose Up
CREATE TABLE order_tally (
    order_id text   NOT NULL,
    verdict  text   NOT NULL,
    reason   text   NOT NULL,
    items    bigint NOT NULL,
    owned    bigint NOT NULL, -- of these, owned already
    waiting  bigint NOT NULL, -- of these, waiting for another try
    PRIMARY KEY (order_id, verdict, reason)
) WITH (fillfactor = 40);
INSERT INTO order_tally
SELECT i.order_id, i.verdict, i.reason, count(*), count(*) FILTER (WHERE i.already_owned), count(i.retry_at)
FROM orders o JOIN order_item i ON i.order_id = o.id
WHERE o.status = 'verifying' AND i.verdict IS NOT NULL
GROUP BY 1, 2, 3;

ALTER TABLE orders ADD COLUMN paused_at timestamptz;       -- paused since; NULL = not paused
ALTER TABLE orders ADD COLUMN waiting jsonb;               -- {for, reason, at, until}: the last wait while verifying
ALTER TABLE orders ADD COLUMN verifying_since timestamptz; -- when verification began, later by as long as it has waited
UPDATE orders SET verifying_since = created_at WHERE status = 'verifying';

-- +goose Down
ALTER TABLE orders DROP COLUMN verifying_since;
ALTER TABLE orders DROP COLUMN waiting;
ALTER TABLE orders DROP COLUMN paused_at;
DROP TABLE order_tally;
