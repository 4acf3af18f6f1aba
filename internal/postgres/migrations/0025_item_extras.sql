-- What the engine knows about an address besides its verdict. Constraint names
-- carry the invariant numbers of internal/orderbook/README.md.

-- +goose Up
-- The address was taken out of what the row had: Name <a@b>, mailto:, quotes.
ALTER TABLE list_row ADD COLUMN cleaned boolean NOT NULL DEFAULT false;

ALTER TABLE order_item ADD COLUMN flags smallint;     -- 1 role, 2 free, 4 disposable, 8 alias, 16 cleaned; NULL: not known
ALTER TABLE order_item ADD COLUMN provider text;      -- who runs the domain's mail hosts
ALTER TABLE order_item ADD COLUMN meant_domain text;  -- the domain that was probably meant
ALTER TABLE order_item ADD COLUMN score smallint;
ALTER TABLE order_item ADD CONSTRAINT order_o8_item_score CHECK (score BETWEEN 0 AND 100);

-- +goose Down
ALTER TABLE order_item DROP CONSTRAINT order_o8_item_score;
ALTER TABLE order_item DROP COLUMN score;
ALTER TABLE order_item DROP COLUMN meant_domain;
ALTER TABLE order_item DROP COLUMN provider;
ALTER TABLE order_item DROP COLUMN flags;
ALTER TABLE list_row DROP COLUMN cleaned;
