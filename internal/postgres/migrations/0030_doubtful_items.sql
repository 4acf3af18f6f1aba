-- +goose Up
COMMENT ON COLUMN order_item.flags IS '1 role, 2 free, 4 disposable, 8 alias, 16 cleaned, 32 doubtful; NULL: not known';

-- +goose Down
COMMENT ON COLUMN order_item.flags IS NULL;
