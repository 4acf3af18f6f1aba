-- Credits that are bought automatically when the balance of the shared pool falls
-- to a threshold. Constraint names carry the invariant numbers of
-- internal/payment/README.md.

-- +goose Up
CREATE TABLE top_up_rule (
    org             text        NOT NULL REFERENCES organization (id),
    type            text        NOT NULL,
    enabled         boolean     NOT NULL,
    below           bigint      NOT NULL, -- available credits
    price           text        NOT NULL,
    quantity        bigint      NOT NULL,
    monthly_credits bigint      NOT NULL, -- caps, in a calendar month of the organization
    monthly_amount  bigint      NOT NULL, -- in the smallest unit of the currency
    currency        text        NOT NULL,
    stopped         text        NOT NULL DEFAULT '', -- why it does not buy any more
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org, type),
    CONSTRAINT payment_p10_rule CHECK (below BETWEEN 0 AND 1000000000000 AND quantity > 0 AND monthly_credits > 0 AND monthly_amount > 0),
    CONSTRAINT payment_p10_currency CHECK (currency ~ '^[a-z]{3}$')
);

CREATE TABLE top_up (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org        text        NOT NULL, -- no foreign key: the ledger's transactions write here
    type       text        NOT NULL,
    crossing   text        NOT NULL, -- the key of the event credits.low
    status     text        NOT NULL DEFAULT 'due',
    try        integer     NOT NULL DEFAULT 1, -- counts what the customer asked for again
    price      text        NOT NULL DEFAULT '',
    quantity   bigint      NOT NULL DEFAULT 0,
    credits    bigint      NOT NULL DEFAULT 0,
    amount     bigint      NOT NULL DEFAULT 0,
    currency   text        NOT NULL DEFAULT '',
    customer   text        NOT NULL DEFAULT '', -- ids of the payment service
    method     text        NOT NULL DEFAULT '',
    payment    text        NOT NULL DEFAULT '',
    detail     text        NOT NULL DEFAULT '', -- why it was not bought
    created_at timestamptz NOT NULL DEFAULT now(),
    charged_at timestamptz,                     -- when the charge began
    next_at    timestamptz NOT NULL DEFAULT now(),
    attempts   integer     NOT NULL DEFAULT 0,
    done_at    timestamptz,
    CONSTRAINT payment_p9_once UNIQUE (org, crossing),
    CONSTRAINT payment_p9_status CHECK (status IN ('due', 'charging', 'paid', 'failed', 'unknown', 'skipped')),
    CONSTRAINT payment_p9_done CHECK ((status IN ('due', 'charging')) = (done_at IS NULL)),
    CONSTRAINT payment_p10_charge CHECK (status NOT IN ('charging', 'paid', 'unknown') OR credits > 0 AND amount > 0 AND charged_at IS NOT NULL)
);
CREATE INDEX top_up_open ON top_up (next_at) WHERE status IN ('due', 'charging');
CREATE INDEX top_up_org ON top_up (org, id DESC);

-- A crossing becomes due in the ledger's own transaction: neither lost nor twice.
-- +goose StatementBegin
CREATE FUNCTION top_up_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO top_up (org, type, crossing)
    SELECT r.org, r.type, NEW.key FROM top_up_rule r
    WHERE r.org = NEW.org AND r.type = NEW.payload ->> 'type' AND r.enabled AND r.stopped = ''
        AND NEW.payload ->> 'pool' = '' AND r.below = (NEW.payload ->> 'threshold')::bigint
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER top_up_due AFTER INSERT ON outbox FOR EACH ROW WHEN (NEW.topic = 'credits.low') EXECUTE FUNCTION top_up_due();

-- +goose Down
DROP TRIGGER top_up_due ON outbox;
DROP FUNCTION top_up_due;
DROP TABLE top_up;
DROP TABLE top_up_rule;
