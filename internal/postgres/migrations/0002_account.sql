-- +goose Up

-- Plans are stored as versions that never change: an order keeps the version
-- it started with.
CREATE TABLE plan (
    id         text        NOT NULL,
    version    integer     NOT NULL,
    hash       text        NOT NULL, -- of the content; the same content is not stored twice in a row
    body       jsonb       NOT NULL, -- what plan.Parse reads
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, version),
    CONSTRAINT account_i1_plan_version_counts_from_1 CHECK (version >= 1),
    CONSTRAINT account_i1_plan_hash_is_sha256 CHECK (hash ~ '^[0-9a-f]{64}$')
);

CREATE TABLE organization (
    id         text        PRIMARY KEY,
    name       text        NOT NULL,
    time_zone  text        NOT NULL, -- IANA name
    created_at timestamptz NOT NULL,
    CONSTRAINT account_i2_organization_id CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    CONSTRAINT account_i2_organization_name CHECK (name <> '')
);

CREATE TABLE member (
    org        text        NOT NULL REFERENCES organization (id),
    id         text        NOT NULL,
    name       text        NOT NULL,
    role       text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org, id),
    CONSTRAINT account_i2_member_id CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    CONSTRAINT account_i2_member_name CHECK (name <> ''),
    CONSTRAINT account_i2_member_role CHECK (role IN ('admin', 'member'))
);

-- The plans an organization was, is and will be on. In force at a time is the
-- highest generation that began at or before it.
CREATE TABLE plan_change (
    org           text        NOT NULL REFERENCES organization (id),
    generation    integer     NOT NULL,
    plan_id       text        NOT NULL,
    plan_version  integer     NOT NULL,
    since         timestamptz, -- NULL = from the beginning
    at_period_end boolean     NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    applied_at    timestamptz, -- NULL until the pools have got what the change brings
    PRIMARY KEY (org, generation),
    FOREIGN KEY (plan_id, plan_version) REFERENCES plan (id, version),
    CONSTRAINT account_i3_first_plan_has_no_beginning CHECK ((generation = 0) = (since IS NULL)),
    CONSTRAINT account_i3_generation_not_negative CHECK (generation >= 0)
);

-- The sweep of the monthly reset completes what a crash left unfinished.
CREATE INDEX plan_change_pending ON plan_change (org, generation) WHERE applied_at IS NULL;

-- What has a credit month of its own: the organization (member = '') and every
-- member's licence.
CREATE TABLE subscription (
    org         text        NOT NULL REFERENCES organization (id),
    member      text        NOT NULL,
    anchor      timestamptz NOT NULL,
    next_period integer     NOT NULL, -- the first period whose credits have not been reset
    due_at      timestamptz NOT NULL, -- when that period begins
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (org, member),
    CONSTRAINT account_i4_next_period_not_negative CHECK (next_period >= 0),
    CONSTRAINT account_i4_due_from_anchor CHECK (due_at >= anchor)
);

-- The sweep of the monthly reset walks along this index.
CREATE INDEX subscription_due ON subscription (due_at, org, member);

-- What a member may spend of the shared pool per credit month.
CREATE TABLE budget (
    org    text   NOT NULL,
    member text   NOT NULL,
    type   text   NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (org, member, type),
    FOREIGN KEY (org, member) REFERENCES member (org, id),
    CONSTRAINT account_i6_budget_not_negative CHECK (amount >= 0)
);

CREATE TABLE api_key (
    id           text        PRIMARY KEY,
    org          text        NOT NULL,
    member       text        NOT NULL,
    role         text        NOT NULL,
    hash         bytea       NOT NULL, -- SHA-256 of the secret, which is not stored
    prefix       text        NOT NULL, -- how the secret begins
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at   timestamptz,
    FOREIGN KEY (org, member) REFERENCES member (org, id),
    CONSTRAINT account_i7_key_hash_unique UNIQUE (hash),
    CONSTRAINT account_i7_key_hash_is_sha256 CHECK (octet_length(hash) = 32),
    CONSTRAINT account_i7_key_prefix_is_short CHECK (length(prefix) <= 16),
    CONSTRAINT account_i7_key_role CHECK (role IN ('admin', 'member'))
);

CREATE INDEX api_key_of_member ON api_key (org, member);

-- +goose Down
DROP TABLE api_key;
DROP TABLE budget;
DROP TABLE subscription;
DROP TABLE plan_change;
DROP TABLE member;
DROP TABLE organization;
DROP TABLE plan;
