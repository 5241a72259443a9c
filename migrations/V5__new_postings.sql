-- What a batch is appended from: its postings travel as one array of these. With an array for each column PostgreSQL
-- worked twice as long on a row (docs/performance.md).
CREATE TYPE new_posting AS (
    wallet_id              bigint,
    ticker_id              integer,
    version                bigint,
    transaction_id         uuid,
    part                   smallint,
    operation              text,
    status                 text,
    error                  text,
    amount                 numeric,
    actual_after           numeric,
    frozen_after           numeric,
    held                   boolean,
    counterparty_wallet_id bigint,
    request_hash           bytea,
    redelivered            boolean,
    metadata               text,
    created_at             timestamptz,
    expires_at             timestamptz,
    requested_by           text
);
COMMENT ON TYPE new_posting IS 'A row of postings on its way in. Later versions of Florin that send more use a type of their own.';
