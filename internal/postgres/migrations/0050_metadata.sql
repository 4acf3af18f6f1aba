-- What callers note about their things, and what idempotency keys have made.
-- Constraint names carry the invariant numbers of internal/metadata/README.md
-- and internal/idempotency/README.md.

-- +goose Up
CREATE TABLE metadata (
    org   text  NOT NULL,
    thing text  NOT NULL,
    id    text  NOT NULL,
    data  jsonb NOT NULL, -- of text to text
    PRIMARY KEY (org, thing, id),
    CONSTRAINT metadata_m1_thing CHECK (thing IN ('organization', 'member', 'order', 'grant')),
    CONSTRAINT metadata_m1_object CHECK (jsonb_typeof(data) = 'object')
);
CREATE INDEX metadata_data ON metadata USING gin (data jsonb_path_ops);

CREATE TABLE idempotency_key (
    org        text        NOT NULL, -- '' = the operator's
    thing      text        NOT NULL, -- what it made: organization, member, key, webhook, list
    key        text        NOT NULL,
    request    bytea       NOT NULL, -- SHA-256
    id         text        NOT NULL, -- of what was made
    salt       bytea,                -- of its secret; NULL = it has none that can be shown again
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org, thing, key),
    CONSTRAINT idempotency_y1_request CHECK (octet_length(request) = 32)
);

-- +goose Down
DROP TABLE idempotency_key;
DROP TABLE metadata;
