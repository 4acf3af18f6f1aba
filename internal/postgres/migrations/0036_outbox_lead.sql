-- One process carries events on; it is notified of new ones.

-- +goose Up
CREATE TABLE lease (
    name   text        PRIMARY KEY,
    holder uuid        NOT NULL,
    until  timestamptz NOT NULL
);

-- +goose StatementBegin
CREATE FUNCTION outbox_notifies() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('outbox', '');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER outbox_notifies AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_notifies();

-- +goose Down
DROP TRIGGER outbox_notifies ON outbox;
DROP FUNCTION outbox_notifies;
DROP TABLE lease;
