-- The credit ledger. The organization is the lane: its credit_owner row is
-- locked by every batch that touches its credits. No foreign keys and few
-- indexes here: each costs every operation something, the lane keeps the rows
-- together, and the audit proves that they belong together.
-- Constraint names carry the invariant numbers of internal/ledger/README.md.

-- +goose Up
CREATE TABLE credit_owner (
    owner      text        PRIMARY KEY,
    seq        bigint      NOT NULL DEFAULT 0, -- number of the last journal entry
    head       bytea       NOT NULL DEFAULT '', -- its hash
    at         timestamptz NOT NULL DEFAULT 'epoch', -- its time; a lane's time never runs backwards
    grants     bigint      NOT NULL DEFAULT 0, -- number of the last grant
    CONSTRAINT ledger_i6_owner_counters CHECK (seq >= 0 AND grants >= 0)
) WITH (fillfactor = 50);

CREATE TABLE credit_account (
    owner          text    NOT NULL,
    pool           text    NOT NULL, -- '' = shared by the organization, otherwise a member
    type           text    NOT NULL,
    available      bigint  NOT NULL, -- including what has expired and was not touched since
    held           bigint  NOT NULL,
    carry          bigint,           -- what late releases may still roll over; NULL = no rollover, -1 = no cap
    carry_priority integer NOT NULL DEFAULT 0,
    carry_until    timestamptz,
    alert_at       bigint[],         -- credits.low thresholds, highest first; NULL = not watched
    PRIMARY KEY (owner, pool, type),
    CONSTRAINT ledger_i1_account_not_negative CHECK (available >= 0 AND held >= 0)
) WITH (fillfactor = 50);

CREATE TABLE credit_grant (
    owner      text        NOT NULL,
    no         bigint      NOT NULL,
    pool       text        NOT NULL,
    type       text        NOT NULL,
    source     text        NOT NULL,
    priority   integer     NOT NULL,
    expires_at timestamptz,          -- NULL = never
    granted_at timestamptz NOT NULL,
    amount     bigint      NOT NULL,
    available  bigint      NOT NULL,
    held       bigint      NOT NULL,
    captured   bigint      NOT NULL,
    expired    bigint      NOT NULL,
    voided     bigint      NOT NULL, -- moved into another grant: rolled over or reinstated
    renewed    boolean     NOT NULL DEFAULT false, -- its period is over; returning credits obey the account's carry
    live       boolean     NOT NULL, -- available or held; indexed, so it changes rarely
    PRIMARY KEY (owner, no),
    CONSTRAINT ledger_i2_grant_not_negative CHECK (amount > 0 AND available >= 0 AND held >= 0 AND captured >= 0 AND expired >= 0 AND voided >= 0),
    CONSTRAINT ledger_i3_grant_sum CHECK (amount = available + held + captured + expired + voided),
    CONSTRAINT ledger_i3_grant_live CHECK (live = (available + held > 0)),
    CONSTRAINT ledger_grant_source CHECK (source IN ('allotment', 'pack', 'promotion', 'adjustment', 'rollover', 'reinstated'))
) WITH (fillfactor = 50);
CREATE INDEX credit_grant_live ON credit_grant (owner, pool) WHERE live;

CREATE TABLE credit_hold (
    owner    text    NOT NULL,
    id       text    NOT NULL,
    amount   bigint  NOT NULL, -- these four: all types together
    captured bigint  NOT NULL,
    released bigint  NOT NULL,
    reversed bigint  NOT NULL,
    closed   boolean NOT NULL,
    body     json    NOT NULL, -- lines with their slices in burn order, and which entries captured facts
    PRIMARY KEY (owner, id),
    CONSTRAINT ledger_i4_hold_sum CHECK (captured >= 0 AND released >= 0 AND captured + released <= amount),
    CONSTRAINT ledger_i4_hold_closed CHECK (NOT closed OR captured + released = amount),
    CONSTRAINT ledger_i5_hold_reversed CHECK (reversed >= 0 AND reversed <= captured)
) WITH (fillfactor = 60);

CREATE TABLE credit_budget (
    owner text   NOT NULL,
    name  text   NOT NULL, -- a member and period
    type  text   NOT NULL,
    used  bigint NOT NULL, -- held and captured from the shared pool under this name
    PRIMARY KEY (owner, name, type),
    CONSTRAINT ledger_i8_budget_not_negative CHECK (used >= 0)
) WITH (fillfactor = 70);

-- The journal: one row per operation, never changed. An entry without a key is
-- an expiry that the following operation came upon.
CREATE TABLE credit_entry (
    owner        text        NOT NULL,
    seq          bigint      NOT NULL,
    kind         text        NOT NULL,
    key          text,
    request_hash bytea,
    at           timestamptz NOT NULL,
    hold_id      text        NOT NULL,
    order_id     text        NOT NULL,
    action       text        NOT NULL,
    member       text        NOT NULL,
    reason       text        NOT NULL,
    postings     json        NOT NULL,
    facts        bytea,      -- newly charged or reversed, by type and scope
    result       json,
    prev_hash    bytea       NOT NULL,
    hash         bytea       NOT NULL,
    PRIMARY KEY (owner, seq),
    CONSTRAINT ledger_i6_entry_seq CHECK (seq > 0),
    CONSTRAINT ledger_i7_entry_key CHECK ((key IS NULL) = (kind = 'expired')),
    CONSTRAINT ledger_i7_entry_result CHECK ((key IS NULL) = (result IS NULL) AND (key IS NULL) = (request_hash IS NULL))
);
CREATE UNIQUE INDEX ledger_i7_entry_key_once ON credit_entry (owner, key);

-- +goose StatementBegin
CREATE FUNCTION credit_entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the credit journal is append-only: correct it with a new operation'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ledger_i6_append_only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_i6_append_only BEFORE UPDATE OR DELETE ON credit_entry
    FOR EACH ROW EXECUTE FUNCTION credit_entry_is_append_only();
CREATE TRIGGER ledger_i6_append_only_truncate BEFORE TRUNCATE ON credit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION credit_entry_is_append_only();

-- What an organization has paid for. A reversed fact is no longer owned.
CREATE TABLE credit_fact (
    owner    text    NOT NULL,
    type     text    NOT NULL,
    scope    text    NOT NULL, -- '' = the organization, otherwise a member or an order
    subject  uuid    NOT NULL,
    seq      bigint  NOT NULL, -- journal entry that charged it
    cost     bigint  NOT NULL, -- credits
    reversed boolean NOT NULL DEFAULT false,
    PRIMARY KEY (owner, type, scope, subject),
    CONSTRAINT ledger_i5_fact_cost CHECK (cost >= 0)
);

-- Events for the outside, written in the transaction that makes them true.
CREATE TABLE outbox (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org          text        NOT NULL,
    topic        text        NOT NULL,
    key          text        NOT NULL, -- the same event is written once
    payload      jsonb       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    CONSTRAINT outbox_key_once UNIQUE (org, key)
);
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL;

-- +goose Down
DROP TABLE outbox;
DROP TABLE credit_fact;
DROP TABLE credit_entry;
DROP FUNCTION credit_entry_is_append_only();
DROP TABLE credit_budget;
DROP TABLE credit_hold;
DROP TABLE credit_grant;
DROP TABLE credit_account;
DROP TABLE credit_owner;
