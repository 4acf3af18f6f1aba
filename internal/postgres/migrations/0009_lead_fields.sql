-- Fields of leads that are named or matched, and how they are found. Constraint
-- names carry the invariant numbers of internal/lead/README.md.

-- +goose Up
ALTER TABLE lead ADD COLUMN profile text NOT NULL DEFAULT '';

-- Rows of lists are matched by address, and by name where the company or its
-- domain is known. Addresses are only ever compared for being the same: a hash
-- index is a third of the size.
CREATE INDEX lead_email ON lead USING hash (lower(email));
CREATE INDEX lead_direct_email ON lead USING hash (lower(direct_email)) WHERE direct_email <> '';
DROP INDEX lead_company;
CREATE INDEX lead_company ON lead ((lower(company) COLLATE "C"), (lower(first_name || ' ' || last_name) COLLATE "C")) INCLUDE (no);
DROP INDEX lead_domain;
CREATE INDEX lead_domain ON lead (domain, (lower(first_name || ' ' || last_name) COLLATE "C")) INCLUDE (no);

-- Rows without an address may stand for a lead otherwise.
ALTER TABLE list ADD COLUMN matchable bigint NOT NULL DEFAULT 0;
ALTER TABLE list DROP CONSTRAINT list_c8_rows;
ALTER TABLE list ADD CONSTRAINT list_c8_rows CHECK (
    unique_rows >= 0 AND matchable >= 0 AND malformed >= 0 AND unique_rows + matchable + malformed <= rows);

-- An order that reveals, enriches or exports selects fields.
ALTER TABLE order_selection ADD COLUMN fields text[]; -- which, in the order of a lead's items; NULL = the addresses of leads or of a list
ALTER TABLE order_selection ADD COLUMN decided bigint NOT NULL DEFAULT 0; -- items that had their final verdict from the start
ALTER TABLE order_selection ADD CONSTRAINT order_c11_decided CHECK (decided BETWEEN already_owned AND items OR fields IS NULL);

-- Which lead a row of such an order's list stands for.
CREATE TABLE order_row (
    order_id text   NOT NULL,
    n        bigint NOT NULL, -- of list_row
    item     bigint,          -- the first of the lead's items; NULL = no lead
    problem  text,            -- why there is none: no_match, ambiguous
    PRIMARY KEY (order_id, n),
    CONSTRAINT order_c10_row_item CHECK ((item IS NULL) = (problem IS NOT NULL))
);

-- +goose Down
DROP TABLE order_row;
ALTER TABLE order_selection DROP CONSTRAINT order_c11_decided;
ALTER TABLE order_selection DROP COLUMN decided;
ALTER TABLE order_selection DROP COLUMN fields;
ALTER TABLE list DROP CONSTRAINT list_c8_rows;
UPDATE list SET malformed = malformed + matchable;
ALTER TABLE list ADD CONSTRAINT list_c8_rows CHECK (unique_rows >= 0 AND malformed >= 0 AND unique_rows + malformed <= rows);
ALTER TABLE list DROP COLUMN matchable;
DROP INDEX lead_domain;
CREATE INDEX lead_domain ON lead (domain) INCLUDE (no);
DROP INDEX lead_company;
CREATE INDEX lead_company ON lead ((lower(company) COLLATE "C")) INCLUDE (no);
DROP INDEX lead_direct_email;
DROP INDEX lead_email;
ALTER TABLE lead DROP COLUMN profile;
