-- What orders of all kinds need. Constraint names carry the invariant numbers
-- of internal/lead/README.md (c) and internal/suppression/README.md (u).

-- +goose Up
-- An order that is to be filled selects more than once.
ALTER TABLE order_selection ADD COLUMN round integer NOT NULL DEFAULT 1;
ALTER TABLE order_selection DROP CONSTRAINT order_selection_pkey;
ALTER TABLE order_selection ADD PRIMARY KEY (order_id, round);
ALTER TABLE order_selection ADD CONSTRAINT order_c3_selection_round CHECK (round >= 1);

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
DELETE FROM order_selection WHERE round > 1;
ALTER TABLE order_selection DROP CONSTRAINT order_c3_selection_round;
ALTER TABLE order_selection DROP CONSTRAINT order_selection_pkey;
ALTER TABLE order_selection DROP COLUMN round;
ALTER TABLE order_selection ADD PRIMARY KEY (order_id);
