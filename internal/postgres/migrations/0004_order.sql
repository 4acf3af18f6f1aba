-- Orders and their items. Constraint names carry the invariant numbers of
-- internal/orderbook/README.md (o) and internal/lead/README.md (c).

-- +goose Up
CREATE TABLE orders (
    id            text PRIMARY KEY,
    seq           bigint GENERATED ALWAYS AS IDENTITY, -- order of entry, the cursor of lists
    org           text NOT NULL,
    member        text NOT NULL,
    kind          text NOT NULL,
    request       jsonb NOT NULL, -- criteria and counts, no contact data
    request_hash  text NOT NULL,
    plan_id       text NOT NULL,
    plan_version  integer NOT NULL,
    status        text NOT NULL,
    requested     bigint NOT NULL,
    selected      bigint NOT NULL DEFAULT 0,
    delivered     bigint NOT NULL DEFAULT 0,
    valid         bigint NOT NULL DEFAULT 0,
    invalid       bigint NOT NULL DEFAULT 0,
    catch_all     bigint NOT NULL DEFAULT 0,
    risky         bigint NOT NULL DEFAULT 0,
    disposable    bigint NOT NULL DEFAULT 0,
    "unknown"     bigint NOT NULL DEFAULT 0,
    already_owned bigint NOT NULL DEFAULT 0,
    duplicate     bigint NOT NULL DEFAULT 0,
    reasons       jsonb NOT NULL DEFAULT '[]', -- [{verdict, reason, count}]
    credits       jsonb NOT NULL DEFAULT '[]', -- [{type, held, captured, released}]
    failure       jsonb,                       -- {code, message, missing}
    created_at    timestamptz NOT NULL DEFAULT now(),
    refund_at     timestamptz,
    completed_at  timestamptz,
    settled_at    timestamptz, -- when the order was over, whichever way
    CONSTRAINT order_kind CHECK (kind IN ('lead_list', 'verify', 'reveal', 'enrich', 'export')),
    CONSTRAINT order_o2_status CHECK (status IN
        ('reserved', 'verifying', 'completed', 'settled', 'rejected', 'cancelled', 'failed')),
    CONSTRAINT order_o3_counts_not_negative CHECK (
        requested >= 0 AND selected >= 0 AND delivered >= 0 AND valid >= 0 AND invalid >= 0 AND
        catch_all >= 0 AND risky >= 0 AND disposable >= 0 AND "unknown" >= 0 AND
        already_owned >= 0 AND duplicate >= 0),
    CONSTRAINT order_o5_delivered_of_selected CHECK (delivered <= selected),
    CONSTRAINT order_o3_tally_of_selected CHECK (
        valid + invalid + catch_all + risky + disposable + "unknown" <= selected),
    CONSTRAINT order_o3_tally_complete CHECK (
        status NOT IN ('completed', 'settled') OR
        valid + invalid + catch_all + risky + disposable + "unknown" = selected),
    CONSTRAINT order_o2_completed_at CHECK (
        (completed_at IS NOT NULL) = (status IN ('completed', 'settled'))),
    CONSTRAINT order_o2_settled_at CHECK (
        (settled_at IS NOT NULL) = (status IN ('settled', 'rejected', 'cancelled', 'failed'))),
    CONSTRAINT order_o2_failure CHECK (
        (failure IS NOT NULL) = (status IN ('rejected', 'failed')))
);
CREATE UNIQUE INDEX orders_seq ON orders (seq);
CREATE INDEX orders_org ON orders (org, seq);

-- What an order selected, answered again when its selection is retried.
CREATE TABLE order_selection (
    order_id      text PRIMARY KEY,
    items         bigint NOT NULL DEFAULT 0,
    already_owned bigint NOT NULL DEFAULT 0,
    CONSTRAINT order_c3_selection CHECK (already_owned BETWEEN 0 AND items)
);

-- The items of orders. An item keeps the address that was verified, whatever a
-- later import does to the lead; there is no foreign key to the lead, so that
-- a person can be deleted. An item is updated about twice (verdict, delivery)
-- and grows by it: the fill factor keeps these updates on the item's page.
CREATE TABLE order_item (
    order_id      text NOT NULL,
    n             bigint NOT NULL, -- 1..selected, by email domain
    lead_no       bigint NOT NULL,
    fingerprint   uuid NOT NULL,
    email         text NOT NULL,
    already_owned boolean NOT NULL,
    verdict       text,        -- NULL until checked
    reason        text,
    mx_host       text,
    smtp_code     integer,
    smtp_enhanced text,
    smtp_text     text,
    checked_at    timestamptz,
    retry_at      timestamptz, -- set while the item waits for another try
    delivered_at  timestamptz, -- set once its capture is recorded
    PRIMARY KEY (order_id, n),
    CONSTRAINT order_c3_item_n CHECK (n >= 1),
    CONSTRAINT order_o4_item_verdict CHECK (verdict IN
        ('valid', 'invalid', 'catch_all', 'risky', 'disposable', 'unknown')),
    CONSTRAINT order_o4_item_checked CHECK (
        (verdict IS NULL) = (checked_at IS NULL) AND (verdict IS NULL) = (reason IS NULL)),
    CONSTRAINT order_o4_item_waits_unknown CHECK (retry_at IS NULL OR verdict = 'unknown'),
    CONSTRAINT order_o5_item_delivered_final CHECK (
        delivered_at IS NULL OR (verdict IS NOT NULL AND retry_at IS NULL))
) WITH (fillfactor = 35);

-- +goose Down
DROP TABLE order_item;
DROP TABLE order_selection;
DROP TABLE orders;
