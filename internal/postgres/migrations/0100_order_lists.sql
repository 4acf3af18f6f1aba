-- Pages of orders of one member, status or kind are read without the others.

-- +goose Up
CREATE INDEX orders_member ON orders (org, member, seq);
CREATE INDEX orders_status ON orders (org, status, seq);
CREATE INDEX orders_of_kind ON orders (org, kind, seq);

-- +goose Down
DROP INDEX orders_of_kind;
DROP INDEX orders_status;
DROP INDEX orders_member;
