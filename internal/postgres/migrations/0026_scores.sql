-- Scores and what they are made of. See internal/verify/README.md, "Score".

-- +goose Up
ALTER TABLE order_item ADD COLUMN score_parts jsonb; -- {"verdict": 50, "role": -10}: their sum is the score

-- How the local parts of addresses that are valid look, by domain: nothing of a
-- person, only how many have which shape (first.last, initial and name, …).
CREATE TABLE mail_pattern (
    domain text   NOT NULL,
    shape  text   NOT NULL,
    valid  bigint NOT NULL,
    PRIMARY KEY (domain, shape),
    CONSTRAINT verdicts_r5_pattern_counts CHECK (valid > 0)
);

-- +goose Down
DROP TABLE mail_pattern;
ALTER TABLE order_item DROP COLUMN score_parts;
