-- The schema of Florin 0.1: the ledger (wallets, tickers, postings, holds) and the API keys.
--
-- `postings` is only ever appended to. Each row is one change of one balance and carries the balance after it, so a
-- balance is the last row of its chain, and the audit trail is the ledger itself.

-- Which ledger this is. The secret lets its instances recognise each other's messages.
CREATE TABLE ledger (
    only_row   boolean     PRIMARY KEY DEFAULT true CONSTRAINT ledger_has_one_row CHECK (only_row),
    ledger_id  uuid        NOT NULL DEFAULT gen_random_uuid(),
    secret     bytea       NOT NULL DEFAULT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
                           CONSTRAINT ledger_secret CHECK (octet_length(secret) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO ledger DEFAULT VALUES;
COMMENT ON TABLE ledger IS 'One row, made with the tables and never changed. Let nobody read it but the service.';
COMMENT ON COLUMN ledger.secret IS 'Of 244 random bits: proves that a message was sent by an instance of this ledger.';

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

-- A transaction is opened by leg 0 (and leg 1, the payee of a transfer that is done at once). A hold, opened in status
-- Created, is resolved by leg 2 (and leg 3, the payee of a transfer that is settled).
--
-- The upper bounds also refuse NaN, which sorts above every number, and Infinity. Metadata are `json`, not `jsonb`: they
-- are given back as they came, to the byte, and no number in them is read.
CREATE TABLE postings (
    wallet_id              bigint      NOT NULL,
    ticker_id              integer     NOT NULL,
    version                bigint      NOT NULL CONSTRAINT postings_version CHECK (version > 0),
    transaction_id         uuid        NOT NULL,
    leg                    smallint    NOT NULL CONSTRAINT postings_leg CHECK (leg BETWEEN 0 AND 3),
    operation              text        NOT NULL,
    status                 text        NOT NULL
                                       CONSTRAINT postings_status CHECK (status IN ('Created', 'Success', 'Error')),
    error                  text        CONSTRAINT postings_error CHECK ((error IS NOT NULL) = (status = 'Error')),
    amount                 numeric     NOT NULL CONSTRAINT postings_amount CHECK (amount > 0 AND amount < 1e36),
    actual_after           numeric     NOT NULL
                                       CONSTRAINT postings_actual CHECK (actual_after >= 0 AND actual_after < 1e36),
    frozen_after           numeric     NOT NULL
                                       CONSTRAINT postings_frozen CHECK (frozen_after >= 0 AND frozen_after < 1e36),
    held                   boolean     NOT NULL
                                       CONSTRAINT postings_held CHECK (held OR (actual_after = 0 AND frozen_after = 0)),
    counterparty_wallet_id bigint,
    request_hash           bytea       CONSTRAINT postings_request_hash CHECK (octet_length(request_hash) = 16),
    redelivered            boolean     NOT NULL,
    metadata               json,
    created_at             timestamptz NOT NULL,
    expires_at             timestamptz,
    requested_by           text        CONSTRAINT postings_requested_by
        CHECK (requested_by IS NULL OR leg IN (0, 2) AND octet_length(requested_by) BETWEEN 1 AND 255),
    CONSTRAINT postings_opening CHECK ((leg = 0) = (request_hash IS NOT NULL)),
    CONSTRAINT postings_details CHECK (leg = 0 OR (metadata IS NULL AND expires_at IS NULL)),
    CONSTRAINT postings_expiry CHECK (expires_at IS NULL OR status = 'Created'),
    CONSTRAINT postings_hold CHECK (leg = 0 OR status <> 'Created'),
    CONSTRAINT postings_chain PRIMARY KEY (wallet_id, ticker_id, version),
    CONSTRAINT postings_transaction UNIQUE (transaction_id, leg)
);
COMMENT ON TABLE postings IS 'Every change of every balance, append-only. The two unique keys are the '
    'controls: postings_chain for concurrency, postings_transaction for exactly-once.';
COMMENT ON COLUMN postings.version IS 'Number of the posting in its chain: 1, 2, 3... without a gap.';
COMMENT ON COLUMN postings.leg IS '0 opens a transaction, 2 resolves a hold; 1 and 3 are the payee''s side of these.';
COMMENT ON COLUMN postings.operation IS 'The operation that opened the transaction: invoice, withdraw or transfer.';
COMMENT ON COLUMN postings.error IS 'Why a transaction is in status Error.';
COMMENT ON COLUMN postings.amount IS 'Decimal, in the ticker''s own unit. Legs 0 and 1: the amount requested. Legs 2 '
    'and 3: the amount captured, or released by a cancel or an expiry.';
COMMENT ON COLUMN postings.held IS 'Whether the balance ever held money: a refused withdrawal opens none.';
COMMENT ON COLUMN postings.counterparty_wallet_id IS 'The other wallet of a transfer.';
COMMENT ON COLUMN postings.request_hash IS 'Tells a retry from a different request under the same identity.';
COMMENT ON COLUMN postings.redelivered IS 'Whether the broker may have delivered the request before: then another '
    'instance may still be working on it.';
COMMENT ON COLUMN postings.created_at IS 'When the rules decided. It never goes back along a chain.';
COMMENT ON COLUMN postings.requested_by IS 'Who opened the transaction (leg 0) or resolved it (leg 2), where known.';

-- A batch is appended from one array of these. With an array for each column PostgreSQL worked twice as long on a row
-- (docs/performance.md). A later version that sends more uses a type of its own, so that both can run side by side.
CREATE TYPE new_posting AS (
    wallet_id              bigint,
    ticker_id              integer,
    version                bigint,
    transaction_id         uuid,
    leg                    smallint,
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
COMMENT ON TYPE new_posting IS 'A row to append to postings.';

-- Derived from postings, for the lists that need an order in time. `florin verify` compares the two.
CREATE TABLE holds (
    transaction_id uuid        PRIMARY KEY,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz
);
CREATE INDEX holds_by_age ON holds (created_at, transaction_id);
CREATE INDEX holds_by_expiry ON holds (expires_at) WHERE expires_at IS NOT NULL;
COMMENT ON TABLE holds IS 'The transactions in status Created: derived from postings.';

-- ---------------------------------------------------------------------------------------------------------------------
-- What protects the ledger. The triggers are ENABLE ALWAYS: a session that replicates skips ordinary ones.

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
CREATE TRIGGER ledger_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tickers_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON tickers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_are_final;
ALTER TABLE wallets ENABLE ALWAYS TRIGGER wallets_are_kept;
ALTER TABLE tickers ENABLE ALWAYS TRIGGER tickers_are_kept;
ALTER TABLE ledger ENABLE ALWAYS TRIGGER ledger_is_kept;

-- A final status never changes: only a hold is resolved. The check comes after the statement, for a batch may open and
-- resolve a transaction at once, in the order of the chains.
CREATE FUNCTION check_resolution() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM postings opened
                    WHERE opened.transaction_id = NEW.transaction_id AND opened.leg = 0
                      AND opened.status = 'Created' AND opened.ticker_id = NEW.ticker_id
                      AND opened.operation = NEW.operation AND NEW.amount <= opened.amount) THEN
        RAISE EXCEPTION 'transaction % is not a hold that this posting can resolve', NEW.transaction_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER postings_resolve_holds AFTER INSERT ON postings
    FOR EACH ROW WHEN (NEW.leg >= 2) EXECUTE FUNCTION check_resolution();
ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_resolve_holds;

-- ---------------------------------------------------------------------------------------------------------------------
-- Reading.

-- Versions have no gap and times never go back along a chain, so a bisection finds the posting of a time: some twenty
-- look-ups in the primary key for a chain of a million, and no index of its own.
CREATE FUNCTION version_at(of_wallet bigint, of_ticker integer, moment timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    low  bigint := 0;
    high bigint;
    mid  bigint;
BEGIN
    SELECT version INTO high FROM postings
     WHERE wallet_id = of_wallet AND ticker_id = of_ticker ORDER BY version DESC LIMIT 1;
    high := coalesce(high, 0);
    WHILE low < high LOOP
        mid := (low + high + 1) / 2;
        IF (SELECT created_at <= moment FROM postings
             WHERE wallet_id = of_wallet AND ticker_id = of_ticker AND version = mid) THEN
            low := mid;
        ELSE
            high := mid - 1;
        END IF;
    END LOOP;
    RETURN low;
END
$$;
COMMENT ON FUNCTION version_at IS 'The number of the last posting of a chain at or before a time; 0 when there is none.';

CREATE VIEW balances AS
SELECT w.wallet_id, t.name AS ticker, last.actual_after AS actual, last.frozen_after AS frozen, last.held,
       last.version, last.created_at AS changed_at
  FROM wallets w
 CROSS JOIN tickers t
 CROSS JOIN LATERAL (
       SELECT p.actual_after, p.frozen_after, p.held, p.version, p.created_at
         FROM postings p
        WHERE p.wallet_id = w.wallet_id AND p.ticker_id = t.ticker_id
        ORDER BY p.version DESC LIMIT 1) last;
COMMENT ON VIEW balances IS 'The last posting of each chain. For people and reports.';

CREATE VIEW transactions AS
SELECT opened.transaction_id, opened.operation,
       coalesce(resolved.status, opened.status) AS status, coalesce(resolved.error, opened.error) AS error,
       opened.wallet_id, opened.counterparty_wallet_id, t.name AS ticker, opened.amount,
       CASE WHEN resolved.status = 'Success' THEN resolved.amount END AS settled_amount,
       opened.requested_by, resolved.requested_by AS ended_by,
       opened.metadata, opened.created_at, opened.expires_at,
       CASE WHEN opened.status = 'Created' THEN resolved.created_at ELSE opened.created_at END AS ended_at
  FROM postings opened
  JOIN tickers t USING (ticker_id)
  LEFT JOIN postings resolved ON resolved.transaction_id = opened.transaction_id AND resolved.leg = 2
 WHERE opened.leg = 0;
COMMENT ON VIEW transactions IS 'One row per transaction with its present status. For people and reports.';

-- ---------------------------------------------------------------------------------------------------------------------
-- API keys of the HTTP side. Only a salted hash of the secret is kept. A key is never deleted, so that the names in
-- `postings.requested_by` keep their meaning.

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
COMMENT ON COLUMN api_keys.first_wallet IS 'With last_wallet: the only wallets that the key may touch.';
