-- Verdicts that are relied on no more are removed; they, and the latest ones, are
-- found by their age without reading all.

-- +goose Up
CREATE INDEX verdict_checked ON verdict USING brin (checked_at) WITH (pages_per_range = 32, autosummarize = on);

-- +goose Down
DROP INDEX verdict_checked;
