-- An organization with a test clock has a time of its own. It stands in the row
-- that is the organization's lane: who locks the lane knows its time.
-- Constraint names carry the invariant numbers of internal/ledger/README.md.

-- +goose Up
ALTER TABLE credit_owner
    ADD COLUMN clock timestamptz, -- its time; NULL = the database's
    ADD CONSTRAINT ledger_i11_clock_not_behind CHECK (clock IS NULL OR at <= clock AND isfinite(clock));
CREATE INDEX credit_owner_clock ON credit_owner (owner) WHERE clock IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION credit_owner_clock_runs_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the test clock of % never runs backwards, and stays where anything was booked by it', OLD.owner
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_i11_clock_runs_forward';
END $$;
-- +goose StatementEnd
-- Batches do not write the column, so that they never come here.
CREATE TRIGGER ledger_i11_clock_runs_forward BEFORE UPDATE OF clock ON credit_owner FOR EACH ROW
    WHEN (NEW.clock < OLD.clock OR OLD.clock IS NOT NULL AND NEW.clock IS NULL AND OLD.seq > 0)
    EXECUTE FUNCTION credit_owner_clock_runs_forward();

-- +goose Down
DROP TRIGGER ledger_i11_clock_runs_forward ON credit_owner;
DROP FUNCTION credit_owner_clock_runs_forward;
DROP INDEX credit_owner_clock;
ALTER TABLE credit_owner DROP COLUMN clock;
