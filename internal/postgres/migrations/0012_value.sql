-- What is paid for is a value, not a row: leads and items carry the keys of
-- their values (internal/value). Constraint names carry the invariant numbers of
-- internal/lead/README.md (c) and internal/orderbook/README.md (o).

-- +goose Up
-- Keys of the lead's values. NULL: there is none, or of email_key, the text
-- cannot be an address. phone_keys has a key for each number of the cell, in its
-- order; it is NULL only until the keys of a lead from before are made.
ALTER TABLE lead
    ADD COLUMN email_key uuid,
    ADD COLUMN phone_keys uuid[],
    ADD COLUMN direct_key uuid,
    ADD COLUMN profile_key uuid;
CREATE INDEX lead_email_key ON lead (email_key) INCLUDE (no);
CREATE INDEX lead_without_keys ON lead (no) WHERE phone_keys IS NULL;

-- keys are those of the item's value, one for each number; carried, of an
-- export, those of the values that go out with it. An item whose value an
-- earlier item of the order has already is the same as that one.
ALTER TABLE order_item
    ADD COLUMN keys uuid[],
    ADD COLUMN carried uuid[],
    ADD COLUMN same_as bigint;
ALTER TABLE order_item ADD CONSTRAINT order_o8_same_as_earlier CHECK (same_as < n);

-- The addresses that an order may still deliver, 8 bytes of each key: other
-- orders of the organization leave them alone while this one is open.
ALTER TABLE order_selection ADD COLUMN claims bytea;
ALTER TABLE order_selection ALTER COLUMN claims SET STORAGE EXTERNAL;
CREATE INDEX orders_open ON orders (org) WHERE status IN ('reserved', 'verifying');

-- Organizations whose facts are about leads, from before facts were about
-- values. Each is taken out once its facts are carried over.
CREATE TABLE ownership_due (
    org text PRIMARY KEY
);
INSERT INTO ownership_due SELECT DISTINCT owner FROM credit_fact;

-- +goose Down
DROP TABLE ownership_due;
DROP INDEX orders_open;
ALTER TABLE order_selection DROP COLUMN claims;
ALTER TABLE order_item DROP CONSTRAINT order_o8_same_as_earlier;
ALTER TABLE order_item DROP COLUMN same_as, DROP COLUMN carried, DROP COLUMN keys;
DROP INDEX lead_without_keys;
DROP INDEX lead_email_key;
ALTER TABLE lead DROP COLUMN profile_key, DROP COLUMN direct_key, DROP COLUMN phone_keys, DROP COLUMN email_key;
