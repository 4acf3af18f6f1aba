-- +goose Up
-- What organizations owned of the catalogue at a place in their journals: read
-- again by a process that has not counted yet, and brought up to date from there.
-- A row may be deleted at any time; it is made again from the facts.
CREATE TABLE owned_set (
    org      text    NOT NULL,
    type     text    NOT NULL, -- of the facts, as their scope
    scope    text    NOT NULL,
    per_lead boolean NOT NULL, -- whether facts about leads count, besides those about addresses
    seq      bigint  NOT NULL, -- the last journal entry that was read
    head     bytea   NOT NULL, -- its hash
    last     bigint  NOT NULL, -- the highest lead number then
    changes  bigint  NOT NULL, -- how often leads had been changed then
    leads    bytea   NOT NULL, -- their numbers, as a Roaring bitmap
    PRIMARY KEY (org, type, scope, per_lead)
);

-- +goose Down
DROP TABLE owned_set;
