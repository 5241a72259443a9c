-- API keys of the HTTP side. Only a salted hash of the secret is kept; a key is never deleted, so that the names in
-- `postings.requested_by` go on meaning what they meant.

CREATE TABLE api_keys (
    key_id       text        PRIMARY KEY CHECK (key_id ~ '^[0-9a-f]{32}$'),
    name         text        NOT NULL CONSTRAINT api_keys_name UNIQUE
                             CONSTRAINT api_keys_name_is_plain CHECK (name ~ '^[A-Za-z0-9._-]{1,64}$'),
    role         text        NOT NULL CHECK (role IN ('reader', 'client', 'operator')),
    salt         bytea       NOT NULL CHECK (octet_length(salt) = 16),
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32),
    first_wallet bigint,
    last_wallet  bigint,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    CONSTRAINT api_keys_wallets CHECK ((first_wallet IS NULL) = (last_wallet IS NULL) AND first_wallet <= last_wallet)
);
COMMENT ON TABLE api_keys IS 'Who may use the HTTP side. Never deleted.';
COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of the salt and the secret, which has 244 random bits.';
COMMENT ON COLUMN api_keys.first_wallet IS 'With last_wallet: the only wallets that the key is good for.';
