-- Items that are not an email address alone: orders that reveal, enrich and
-- export have an item for each field of a lead. Constraint names carry the
-- invariant numbers of internal/orderbook/README.md.

-- +goose Up
ALTER TABLE order_item RENAME COLUMN email TO value; -- as it was when the item was frozen; '' = there is none
ALTER TABLE order_item ADD COLUMN field text NOT NULL DEFAULT 'email';
ALTER TABLE order_item ADD COLUMN carries text[]; -- an export's: fields that the organization owned and that go out with the item
ALTER TABLE order_item ADD CONSTRAINT order_o7_item_field CHECK (field IN ('email', 'phone', 'direct_email', 'profile', 'lead'));

-- +goose Down
ALTER TABLE order_item DROP CONSTRAINT order_o7_item_field;
ALTER TABLE order_item DROP COLUMN carries;
ALTER TABLE order_item DROP COLUMN field;
ALTER TABLE order_item RENAME COLUMN value TO email;
