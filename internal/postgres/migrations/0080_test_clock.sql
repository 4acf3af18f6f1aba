-- Test clocks: who moves the time of which organization, and where to. The time
-- itself is credit_owner.clock. Constraint names carry the invariant numbers of
-- internal/testclock/README.md.

-- +goose Up
CREATE TABLE test_clock (
    id         text        PRIMARY KEY,
    org        text        NOT NULL, -- may be an organization that is still to be created
    target     timestamptz,          -- where the advance under way leads; NULL = none is
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT clock_c2_one_for_an_organization UNIQUE (org),
    CONSTRAINT clock_c3_target CHECK (isfinite(target))
);

-- +goose Down
DROP TABLE test_clock;
