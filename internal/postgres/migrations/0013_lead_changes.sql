-- How often imports have changed leads that were there: what is known of them in
-- memory, such as which are owned, is old then.

-- +goose Up
CREATE TABLE lead_changes (
    one   boolean PRIMARY KEY DEFAULT true,
    count bigint NOT NULL DEFAULT 0,
    CONSTRAINT lead_changes_one_row CHECK (one)
);
INSERT INTO lead_changes DEFAULT VALUES;

-- What is owned may have to be verified again, so it is not decided.
ALTER TABLE order_selection DROP CONSTRAINT order_c11_decided;
ALTER TABLE order_selection ADD CONSTRAINT order_c11_decided CHECK (decided BETWEEN 0 AND items OR fields IS NULL);

-- +goose Down
ALTER TABLE order_selection DROP CONSTRAINT order_c11_decided;
ALTER TABLE order_selection ADD CONSTRAINT order_c11_decided CHECK (decided BETWEEN already_owned AND items OR fields IS NULL) NOT VALID;
DROP TABLE lead_changes;
