-- The ledger: wallets, tickers, and the one table that money lives in.
--
-- `postings` is only ever appended to. Each row is one change of one balance and carries the balance after
-- it, so the balance is the last row of its chain and the audit trail is the ledger itself.

CREATE TABLE wallets (
    wallet_id  bigint      PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wallets IS 'Wallets are never deleted: postings refer to them without a foreign key.';

CREATE TABLE tickers (
    ticker_id  integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text        NOT NULL CONSTRAINT tickers_name UNIQUE
                           CONSTRAINT tickers_name_is_plain CHECK (name ~ '^[A-Za-z0-9._-]{1,32}$'),
    scale      smallint    NOT NULL CONSTRAINT tickers_scale CHECK (scale BETWEEN 0 AND 18),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tickers IS 'Currencies. Never deleted, and the scale never changes.';
COMMENT ON COLUMN tickers.scale IS 'Decimal places of amounts and balances.';

-- The upper bounds also refuse NaN, which sorts above every number, and Infinity.
CREATE TABLE postings (
    wallet_id              bigint      NOT NULL,
    ticker_id              integer     NOT NULL,
    version                bigint      NOT NULL CHECK (version > 0),
    transaction_id         uuid        NOT NULL,
    part                   smallint    NOT NULL CHECK (part BETWEEN 0 AND 3),
    operation              text        NOT NULL,
    status                 text        NOT NULL CHECK (status IN ('Created', 'Success', 'Error')),
    error                  text        CHECK ((error IS NOT NULL) = (status = 'Error')),
    amount                 numeric     NOT NULL CHECK (amount > 0 AND amount < 1e36),
    actual_after           numeric     NOT NULL CHECK (actual_after >= 0 AND actual_after < 1e36),
    frozen_after           numeric     NOT NULL CHECK (frozen_after >= 0 AND frozen_after < 1e36),
    held                   boolean     NOT NULL CHECK (held OR (actual_after = 0 AND frozen_after = 0)),
    counterparty_wallet_id bigint,
    request_hash           bytea       NOT NULL CHECK (octet_length(request_hash) = 16),
    redelivered            boolean     NOT NULL,
    metadata               jsonb,
    created_at             timestamptz NOT NULL,
    expires_at             timestamptz,
    CONSTRAINT postings_chain PRIMARY KEY (wallet_id, ticker_id, version),
    CONSTRAINT postings_transaction UNIQUE (transaction_id, part)
);
COMMENT ON TABLE postings IS 'Every change of every balance, append-only. The two unique keys are the '
    'controls: postings_chain for concurrency, postings_transaction for exactly-once.';
COMMENT ON COLUMN postings.version IS 'Number of the posting in its chain: 1, 2, 3... without a gap.';
COMMENT ON COLUMN postings.part IS '0 opens a transaction, 1 is the payee side of a transfer, 2 and 3 close it.';
COMMENT ON COLUMN postings.error IS 'Why a transaction in status Error was refused or ended.';
COMMENT ON COLUMN postings.amount IS 'The amount that was asked for, in units of the ticker.';
COMMENT ON COLUMN postings.held IS 'Whether the balance ever held anything: a refused withdrawal opens none.';
COMMENT ON COLUMN postings.redelivered IS 'Whether the request may have been delivered before: then another '
    'instance may still hold it.';
COMMENT ON COLUMN postings.request_hash IS 'Tells a retry from a different request under the same identity.';

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER postings_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON postings
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER wallets_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON wallets
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tickers_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON tickers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Also where triggers of users are switched off, as for a session that replicates.
ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_are_final;
ALTER TABLE wallets ENABLE ALWAYS TRIGGER wallets_are_kept;
ALTER TABLE tickers ENABLE ALWAYS TRIGGER tickers_are_kept;

CREATE VIEW balances AS
SELECT w.wallet_id, t.name AS ticker, last.actual_after AS actual, last.frozen_after AS frozen, last.held,
       last.version, last.created_at AS changed_at
  FROM wallets w
 CROSS JOIN tickers t
 CROSS JOIN LATERAL (
       SELECT * FROM postings p
        WHERE p.wallet_id = w.wallet_id AND p.ticker_id = t.ticker_id
        ORDER BY p.version DESC LIMIT 1) last;
COMMENT ON VIEW balances IS 'The last posting of each chain. For people and reports.';

CREATE VIEW transactions AS
SELECT opened.transaction_id, opened.operation,
       coalesce(closed.status, opened.status) AS status, coalesce(closed.error, opened.error) AS error,
       opened.wallet_id, t.name AS ticker, opened.amount, opened.counterparty_wallet_id, opened.metadata,
       opened.created_at, opened.expires_at,
       CASE WHEN opened.status = 'Created' THEN closed.created_at ELSE opened.created_at END AS ended_at
  FROM postings opened
  JOIN tickers t USING (ticker_id)
  LEFT JOIN postings closed ON closed.transaction_id = opened.transaction_id AND closed.part = 2
 WHERE opened.part = 0;
COMMENT ON VIEW transactions IS 'One row per transaction with its present status. For people and reports.';
