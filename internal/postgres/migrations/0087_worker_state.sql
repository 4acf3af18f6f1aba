-- How verification is in each worker: the dashboard shows it to the operator.

-- +goose Up
CREATE TABLE worker_state (
    worker  text        PRIMARY KEY, -- machine and process
    state   jsonb       NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE worker_state;
