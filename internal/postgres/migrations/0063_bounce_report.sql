-- What keys of organizations have reported as bounced, to cap it. Constraint
-- names carry the invariant numbers of internal/billing/README.md.

-- +goose Up
CREATE TABLE bounce_report (
    org       text        NOT NULL REFERENCES organization (id),
    key       text        NOT NULL, -- idempotency key
    addresses bigint      NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org, key),
    CONSTRAINT bounce_report_addresses CHECK (addresses > 0)
);
CREATE INDEX bounce_report_lately ON bounce_report (org, at) INCLUDE (addresses);

-- +goose Down
DROP TABLE bounce_report;
