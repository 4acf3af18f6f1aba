-- Sessions of the dashboard and the one-time links that begin them. Constraint
-- names carry the invariant numbers of internal/account/README.md.

-- +goose Up
CREATE TABLE login_link (
    hash       bytea       PRIMARY KEY, -- SHA-256 of the secret
    org        text        NOT NULL,
    member     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    FOREIGN KEY (org, member) REFERENCES member (org, id),
    CONSTRAINT login_link_s1_hash CHECK (octet_length(hash) = 32)
);

CREATE TABLE session (
    hash       bytea       PRIMARY KEY, -- SHA-256 of the secret in the cookie
    id         text        NOT NULL UNIQUE, -- for logs
    org        text,                    -- NULL = the operator
    member     text,
    key_id     text        REFERENCES api_key (id), -- the key that was used to log in
    operator   bytea,                   -- hash of the operator key that was used to log in
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(), -- exact to a minute
    FOREIGN KEY (org, member) REFERENCES member (org, id),
    CONSTRAINT session_s1_hash CHECK (octet_length(hash) = 32),
    CONSTRAINT session_s2_one_holder CHECK ((operator IS NULL) = (org IS NOT NULL) AND (org IS NULL) = (member IS NULL))
);
CREATE INDEX session_seen ON session (seen_at);

-- +goose Down
DROP TABLE session;
DROP TABLE login_link;
