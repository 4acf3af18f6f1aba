-- Cells: organizations on several databases. The first cell's database has the
-- directory; in every other one, cell has a row about that cell alone.

-- +goose Up
CREATE TABLE cell (
    number     int         PRIMARY KEY,
    name       text        NOT NULL UNIQUE,
    here       boolean     NOT NULL, -- this database is this cell's
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT cell_number CHECK (number BETWEEN 0 AND 8000) -- ids of rows stay exact in JSON
);
CREATE UNIQUE INDEX cell_here ON cell (here) WHERE here;

CREATE TABLE cell_org (
    org        text        PRIMARY KEY,
    cell       text        NOT NULL REFERENCES cell (name),
    moving_to  text        REFERENCES cell (name), -- it is closed until it is there
    left_in    text        REFERENCES cell (name), -- where rows of before the move may still be
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cell_org_cell ON cell_org (cell);

-- +goose Down
DROP TABLE cell_org;
DROP TABLE cell;
