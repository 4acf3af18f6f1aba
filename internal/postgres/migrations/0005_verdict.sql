-- +goose Up

-- What is known of an address from an earlier verification, for all
-- organizations. The address itself is not kept.
CREATE TABLE verdict (
    address       bytea       PRIMARY KEY, -- SHA-256 of the normalised address
    verdict       text        NOT NULL,
    reason        text        NOT NULL,
    role          boolean     NOT NULL,
    disposable    boolean     NOT NULL,
    free          boolean     NOT NULL,
    mx_host       text        NOT NULL,
    smtp_code     integer     NOT NULL,
    smtp_enhanced text        NOT NULL,
    smtp_text     text        NOT NULL, -- without the address
    checked_at    timestamptz NOT NULL,
    engine        text        NOT NULL,
    CONSTRAINT verdicts_r1_address_is_sha256 CHECK (length(address) = 32),
    CONSTRAINT verdicts_r2_never_unknown CHECK (verdict IN ('valid', 'invalid', 'catch_all', 'risky', 'disposable'))
);

-- +goose Down
DROP TABLE verdict;
