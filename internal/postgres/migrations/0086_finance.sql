-- What finance needs of purchases: what each line has cost, and when money went
-- back. Constraint names carry the invariant number of
-- internal/payment/README.md.

-- +goose Up
ALTER TABLE purchase_line ADD COLUMN amount bigint; -- NULL = not known: lines share the purchase's amount evenly
ALTER TABLE purchase_line ADD CONSTRAINT payment_p12_amount CHECK (amount >= 0);

-- Money that left after a purchase: refunds and disputes; a won dispute brings it
-- back, as a negative amount.
CREATE TABLE purchase_return (
    purchase bigint      NOT NULL REFERENCES purchase (id),
    cause    text        NOT NULL, -- refund/CHARGE/TOTAL, dispute/ID, won/ID
    amount   bigint      NOT NULL, -- in the smallest unit of the currency
    at       timestamptz NOT NULL,
    PRIMARY KEY (purchase, cause),
    CONSTRAINT payment_p12_return CHECK ((amount < 0) = (cause LIKE 'won/%'))
);

INSERT INTO purchase_return (purchase, cause, amount, at)
SELECT b.id, 'refund/before', b.refunded, coalesce((SELECT max(e.happened_at) FROM payment_event e
    WHERE e.facts ->> 'kind' = 'refund' AND e.facts ->> 'payment' = b.payment AND b.payment <> '' AND e.status = 'done'), b.bought_at)
FROM purchase b WHERE b.refunded > 0;

INSERT INTO purchase_return (purchase, cause, amount, at)
SELECT b.id, 'dispute/' || d.id, least(min((e.facts ->> 'amount')::bigint), b.amount), min(e.happened_at)
FROM payment_dispute d JOIN payment_event e ON e.facts ->> 'dispute' = d.id JOIN purchase b ON b.payment = e.facts ->> 'payment' AND b.payment <> ''
WHERE d.status <> 'won' GROUP BY b.id, d.id;

-- +goose Down
DROP TABLE purchase_return;
ALTER TABLE purchase_line DROP COLUMN amount;
