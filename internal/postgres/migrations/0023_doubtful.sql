-- Verdicts that are relied on for a day only. See internal/verdicts/README.md, R6.

-- +goose Up
ALTER TABLE verdict ADD COLUMN doubtful boolean NOT NULL DEFAULT false;
ALTER TABLE verdict ADD CONSTRAINT verdicts_r6_doubtful_is_invalid CHECK (NOT doubtful OR verdict = 'invalid');

-- The first engine took refusals that were not about the mailbox for such by
-- comparing them. What it found is asked for again.
DELETE FROM verdict WHERE engine = 'holdfast-smtp/1';

-- +goose Down
ALTER TABLE verdict DROP CONSTRAINT verdicts_r6_doubtful_is_invalid;
ALTER TABLE verdict DROP COLUMN doubtful;
