-- Purchases and what the payment service says about them. No names, addresses
-- or card data: ids of the payment service alone. Constraint names carry the
-- invariant numbers of internal/payment/README.md.

-- +goose Up

-- What a price of the payment service buys: credits, or a plan.
CREATE TABLE payment_price (
    price              text        PRIMARY KEY,
    plan               text,                  -- a subscription to it
    then_plan          text,                  -- the plan after the subscription has ended; NULL = the organization is suspended
    credit_type        text,                  -- a pack, for each unit bought
    credits            bigint,
    expires_after_days integer,               -- NULL = never, or with the period that was paid for
    expires_with_period boolean    NOT NULL DEFAULT false,
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_p2_pack_or_plan CHECK ((plan IS NULL) = (credit_type IS NOT NULL) AND (credit_type IS NULL) = (credits IS NULL)),
    CONSTRAINT payment_p2_credits CHECK (credits BETWEEN 1 AND 1000000000000),
    CONSTRAINT payment_p2_expiry CHECK (expires_after_days BETWEEN 1 AND 36500)
);

CREATE TABLE payment_customer (
    customer   text        PRIMARY KEY,
    org        text        NOT NULL REFERENCES organization (id),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payment_customer_org ON payment_customer (org);

-- Each event that the payment service has sent, once.
CREATE TABLE payment_event (
    id          text        PRIMARY KEY,
    type        text        NOT NULL,
    happened_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    facts       jsonb       NOT NULL, -- what of it counts
    status      text        NOT NULL DEFAULT 'waiting',
    detail      text        NOT NULL DEFAULT '', -- what it waits for, or why it changed nothing
    done_at     timestamptz,
    CONSTRAINT payment_p1_status CHECK (status IN ('waiting', 'done', 'ignored')),
    CONSTRAINT payment_p1_done_once CHECK ((status = 'waiting') = (done_at IS NULL))
);
CREATE INDEX payment_event_waiting ON payment_event (happened_at, id) WHERE status = 'waiting';
CREATE INDEX payment_event_received ON payment_event (received_at DESC, id DESC);

CREATE TABLE purchase (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org         text        NOT NULL REFERENCES organization (id),
    source      text        NOT NULL,
    reference   text        NOT NULL, -- checkout session or invoice; of a grant by a person, its idempotency key
    bought_at   timestamptz NOT NULL,
    bought_by   text        NOT NULL DEFAULT '', -- the member, where known
    amount      bigint      NOT NULL, -- in the smallest unit of the currency
    refunded    bigint      NOT NULL DEFAULT 0,
    currency    text        NOT NULL,
    invoice     text        NOT NULL DEFAULT '',
    receipt_url text        NOT NULL DEFAULT '',
    payment     text        NOT NULL DEFAULT '', -- the payment service's id of the payment
    UNIQUE (source, org, reference),
    CONSTRAINT payment_p3_source CHECK (source IN ('stripe', 'manual')),
    CONSTRAINT payment_p3_currency CHECK (currency ~ '^[a-z]{3}$'),
    CONSTRAINT payment_p4_refunded CHECK (amount >= 0 AND refunded BETWEEN 0 AND amount)
);
CREATE INDEX purchase_org ON purchase (org, id DESC);
CREATE UNIQUE INDEX purchase_payment ON purchase (payment) WHERE payment <> '';

-- What was bought. The terms are those of the moment: a price that is mapped
-- again changes nothing that was bought before.
CREATE TABLE purchase_line (
    purchase    bigint  NOT NULL REFERENCES purchase (id),
    line        integer NOT NULL,
    price       text    NOT NULL DEFAULT '',
    quantity    bigint  NOT NULL,
    plan        text,
    credit_type text,
    credits     bigint,
    expires_at  timestamptz,
    grant_id    bigint, -- NULL until the credits are given
    PRIMARY KEY (purchase, line),
    CONSTRAINT payment_p3_line CHECK (quantity > 0 AND (plan IS NULL) = (credit_type IS NOT NULL) AND (credit_type IS NULL) = (credits IS NULL)),
    CONSTRAINT payment_p3_grant CHECK (grant_id IS NULL OR credits > 0)
);

CREATE TABLE payment_dispute (
    id     text PRIMARY KEY,
    status text NOT NULL,
    CONSTRAINT payment_p5_status CHECK (status IN ('open', 'won', 'lost'))
);

-- Credits to be taken back for a refund or a dispute, and what came of it.
CREATE TABLE purchase_void (
    purchase bigint  NOT NULL,
    line     integer NOT NULL,
    cause    text    NOT NULL, -- refund/CHARGE/TOTAL or dispute/ID
    wanted   bigint  NOT NULL,
    voided   bigint,           -- NULL until it was done
    restored boolean NOT NULL DEFAULT false, -- the dispute was won: they came back
    PRIMARY KEY (purchase, line, cause),
    FOREIGN KEY (purchase, line) REFERENCES purchase_line (purchase, line),
    CONSTRAINT payment_p4_voided CHECK (wanted > 0 AND voided BETWEEN 0 AND wanted),
    CONSTRAINT payment_p5_restored CHECK (NOT restored OR voided IS NOT NULL AND cause LIKE 'dispute/%')
);

CREATE TABLE payment_subscription (
    id         text        PRIMARY KEY,
    org        text        NOT NULL, -- no foreign key: its lock would keep the change of plan waiting
    changed_at timestamptz NOT NULL, -- of the newest event that counted
    ended      boolean     NOT NULL DEFAULT false,
    suspended  boolean     NOT NULL DEFAULT false -- its end has suspended the organization
);
CREATE INDEX payment_subscription_org ON payment_subscription (org);

-- +goose Down
DROP TABLE payment_subscription;
DROP TABLE purchase_void;
DROP TABLE payment_dispute;
DROP TABLE purchase_line;
DROP TABLE purchase;
DROP TABLE payment_event;
DROP TABLE payment_customer;
DROP TABLE payment_price;
