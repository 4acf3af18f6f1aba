-- Where organizations want to hear of events, and what became of telling them.
-- Constraint names carry the invariant numbers of internal/webhook/README.md.

-- +goose Up
CREATE TABLE webhook_endpoint (
    id              text        PRIMARY KEY,
    org             text        NOT NULL REFERENCES organization (id),
    url             text        NOT NULL,
    events          text[]      NOT NULL, -- topics; none = all
    secret          bytea       NOT NULL, -- signing needs it as it is
    created_at      timestamptz NOT NULL DEFAULT now(),
    failing_since   timestamptz,          -- first failure since the last success
    disabled_at     timestamptz,
    disabled_reason text        NOT NULL DEFAULT '',
    deleted_at      timestamptz,
    CONSTRAINT webhook_w2_secret_length CHECK (octet_length(secret) BETWEEN 24 AND 64),
    CONSTRAINT webhook_w5_disabled_reason CHECK ((disabled_at IS NULL) = (disabled_reason = ''))
);
CREATE INDEX webhook_endpoint_of_org ON webhook_endpoint (org) WHERE deleted_at IS NULL;

CREATE TABLE webhook_delivery (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint     text        NOT NULL REFERENCES webhook_endpoint (id),
    event        bigint      NOT NULL REFERENCES outbox (id),
    subject      text        NOT NULL, -- events of one subject, an order, arrive in order
    again        integer     NOT NULL DEFAULT 0, -- how often it was asked for anew
    status       text        NOT NULL DEFAULT 'pending',
    attempts     integer     NOT NULL DEFAULT 0,
    next_at      timestamptz NOT NULL DEFAULT now(), -- of the next attempt, while pending
    attempted_at timestamptz,
    code         integer,              -- HTTP status of the last attempt; NULL = no answer
    error        text        NOT NULL DEFAULT '', -- why the last attempt failed
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_w1_event_once UNIQUE (endpoint, event, again),
    CONSTRAINT webhook_w1_status CHECK (status IN ('pending', 'delivered', 'failed')),
    CONSTRAINT webhook_w4_attempts CHECK (attempts >= 0)
);
CREATE INDEX webhook_delivery_pending ON webhook_delivery (endpoint, subject, event) WHERE status = 'pending';

-- +goose Down
DROP TABLE webhook_delivery;
DROP TABLE webhook_endpoint;
