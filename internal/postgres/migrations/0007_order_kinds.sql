-- What orders of all kinds need. Constraint names carry the invariant numbers
-- of internal/lead/README.md (c) and internal/suppression/README.md (u).

-- +goose Up
-- An order that is to be filled selects more than once.
ALTER TABLE order_selection ADD COLUMN round integer NOT NULL DEFAULT 1;
ALTER TABLE order_selection DROP CONSTRAINT order_selection_pkey;
ALTER TABLE order_selection ADD PRIMARY KEY (order_id, round);
ALTER TABLE order_selection ADD CONSTRAINT order_c3_selection_round CHECK (round >= 1);

-- The order's items are those of a list, not of the catalogue.
ALTER TABLE order_selection ADD COLUMN list_id text;

-- Uploaded lists of addresses. A list never changes: its id is made of the
-- organization and the content, so that the same upload is the same list.
CREATE TABLE list (
    id          text PRIMARY KEY,
    org         text        NOT NULL,
    columns     text[]      NOT NULL, -- of the file, each once; one for plain text
    rows        bigint      NOT NULL,
    unique_rows bigint      NOT NULL, -- addresses, letter case aside: the items of an order for the list
    malformed   bigint      NOT NULL, -- rows without an address
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT list_c8_rows CHECK (unique_rows >= 0 AND malformed >= 0 AND unique_rows + malformed <= rows)
);
CREATE TABLE list_row (
    list_id text   NOT NULL,
    n       bigint NOT NULL, -- 1..rows, as they stood in the file
    line    bigint NOT NULL, -- of the file, where the row began
    item    bigint,          -- number of the address, 1..unique_rows by mail domain; NULL = malformed
    email   text   NOT NULL,
    cells   text[] NOT NULL, -- the row as it came
    problem text,            -- why it is malformed
    PRIMARY KEY (list_id, n),
    CONSTRAINT list_c8_item CHECK ((item IS NULL) = (problem IS NOT NULL))
);

-- Whom nobody, or one organization, wants to be given. Never the address
-- itself: the SHA-256 of the address in lower case, or of '@' and the domain.
CREATE TABLE suppression (
    org      text        NOT NULL, -- '' = for everybody
    subject  bytea       NOT NULL,
    reason   text        NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject, org),
    CONSTRAINT suppression_u1_hashed CHECK (length(subject) = 32)
);
CREATE INDEX suppression_org ON suppression (org);

-- +goose Down
DROP TABLE suppression;
DROP TABLE list_row;
DROP TABLE list;
ALTER TABLE order_selection DROP COLUMN list_id;
DELETE FROM order_selection WHERE round > 1;
ALTER TABLE order_selection DROP CONSTRAINT order_c3_selection_round;
ALTER TABLE order_selection DROP CONSTRAINT order_selection_pkey;
ALTER TABLE order_selection DROP COLUMN round;
ALTER TABLE order_selection ADD PRIMARY KEY (order_id);
