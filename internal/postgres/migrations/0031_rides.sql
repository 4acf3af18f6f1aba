-- Orders that came together and are carried out by one workflow, a ride. A line
-- is written before Temporal hears of the order. Constraint names carry the
-- invariant numbers of internal/orderbook/README.md (o).

-- +goose Up
CREATE TABLE order_ride (
    order_id     text        PRIMARY KEY,
    org          text        NOT NULL,
    member       text        NOT NULL,
    request_hash text        NOT NULL,
    ride_id      text        NOT NULL, -- a workflow; the order's own ID where it rides alone
    given_up_at  timestamptz,          -- the ride did not begin: it leaves the order out
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT order_ride_o9_named CHECK (ride_id <> '' AND request_hash <> '')
);
CREATE INDEX order_ride_ride ON order_ride (ride_id);

-- +goose Down
DROP TABLE order_ride;
