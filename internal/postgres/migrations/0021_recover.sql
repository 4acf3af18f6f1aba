-- What is needed to take up orders whose workflow is gone. Constraint names
-- carry the invariant numbers of internal/reconcile/README.md (n).

-- +goose Up
-- A cancellation is noted before Temporal is asked, so that it is not lost with
-- the workflow.
ALTER TABLE orders ADD COLUMN cancel_requested_at timestamptz;
CREATE INDEX orders_running ON orders (seq) WHERE status IN ('reserved', 'verifying', 'completed');

-- What reconciling has done so far, in one row: what /metrics says about it.
CREATE TABLE reconciliation (
    id         boolean PRIMARY KEY DEFAULT true,
    runs       bigint      NOT NULL DEFAULT 0,
    recovered  bigint      NOT NULL DEFAULT 0, -- orders taken up again
    released   bigint      NOT NULL DEFAULT 0, -- holds released that no order had
    failed     bigint      NOT NULL DEFAULT 0, -- of the last run: neither worked
    open       bigint      NOT NULL DEFAULT 0, -- orders that the last run found open
    last_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reconciliation_one_row CHECK (id),
    CONSTRAINT reconciliation_n4_counts CHECK (runs >= 0 AND recovered >= 0 AND released >= 0 AND failed >= 0 AND open >= 0)
);

-- +goose Down
DROP TABLE reconciliation;
DROP INDEX orders_running;
ALTER TABLE orders DROP COLUMN cancel_requested_at;
