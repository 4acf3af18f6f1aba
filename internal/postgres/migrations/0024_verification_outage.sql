-- +goose Up
-- What each worker's verification last ran into: nothing could be verified,
-- whichever host was asked. /readyz and the metrics read it.
CREATE TABLE verification_outage (
    worker   text PRIMARY KEY, -- the machine's name
    reason   text NOT NULL,
    message  text NOT NULL,
    since    timestamptz NOT NULL,
    seen_at  timestamptz NOT NULL,
    ended_at timestamptz, -- set when verification worked again
    outages  bigint NOT NULL DEFAULT 1, -- so far
    CONSTRAINT verification_outage_counts CHECK (outages > 0)
);

-- +goose Down
DROP TABLE verification_outage;
