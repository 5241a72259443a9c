-- The whole life of a transaction: what waits in status Created, and what ends it.
--
-- A transaction is opened by part 0 (and 1, the payee's side of a transfer that is done at once). One that was
-- opened as Created is ended by part 2 (and 3, the payee's side of a transfer that is settled).

-- Metadata are given back as they came, to the byte; no number in them is read.
DROP VIEW transactions;
DROP VIEW balances;
ALTER TABLE postings ALTER COLUMN metadata TYPE json;
ALTER TABLE postings ALTER COLUMN request_hash DROP NOT NULL;
ALTER TABLE postings
    ADD CONSTRAINT postings_opening CHECK ((part = 0) = (request_hash IS NOT NULL)),
    ADD CONSTRAINT postings_details CHECK (part = 0 OR (metadata IS NULL AND expires_at IS NULL)),
    ADD CONSTRAINT postings_expiry CHECK (expires_at IS NULL OR status = 'Created'),
    ADD CONSTRAINT postings_ending CHECK (part = 0 OR status <> 'Created');
COMMENT ON COLUMN postings.operation IS 'The operation that opened the transaction: invoice, withdraw or transfer.';
COMMENT ON COLUMN postings.amount IS 'In units of the ticker. Part 0 and 1: what was asked for. Part 2 and 3: what '
    'was settled, or what was released by a cancel or an expiry.';
COMMENT ON COLUMN postings.counterparty_wallet_id IS 'The other wallet of a transfer.';
COMMENT ON COLUMN postings.created_at IS 'When the rules decided. It never goes back along a chain.';

-- Open holds: derived from postings (transactions in status Created), kept for the lists that need an order in
-- time. `florin verify` compares them.
CREATE TABLE holds (
    transaction_id uuid        PRIMARY KEY,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz
);
CREATE INDEX holds_by_age ON holds (created_at, transaction_id);
CREATE INDEX holds_by_expiry ON holds (expires_at) WHERE expires_at IS NOT NULL;
COMMENT ON TABLE holds IS 'The transactions in status Created: derived from postings.';

-- A final state never changes: only what was opened as Created is ended. The check comes after the statement,
-- for a batch may open and end a transaction at once, in the order of the chains.
CREATE FUNCTION refuse_second_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM postings opened
                    WHERE opened.transaction_id = NEW.transaction_id AND opened.part = 0
                      AND opened.status = 'Created' AND opened.ticker_id = NEW.ticker_id
                      AND opened.operation = NEW.operation AND NEW.amount <= opened.amount) THEN
        RAISE EXCEPTION 'transaction % does not wait for this end', NEW.transaction_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER postings_end_what_waits AFTER INSERT ON postings
    FOR EACH ROW WHEN (NEW.part >= 2) EXECUTE FUNCTION refuse_second_end();
ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_end_what_waits;

-- Versions have no gap and times never go back along a chain, so the posting of a time is found by halving: some
-- twenty look-ups in the primary key for a chain of a million, and no index of its own.
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
       coalesce(ended.status, opened.status) AS status, coalesce(ended.error, opened.error) AS error,
       opened.wallet_id, opened.counterparty_wallet_id, t.name AS ticker, opened.amount,
       CASE WHEN ended.status = 'Success' THEN ended.amount END AS settled_amount,
       opened.metadata, opened.created_at, opened.expires_at,
       CASE WHEN opened.status = 'Created' THEN ended.created_at ELSE opened.created_at END AS ended_at
  FROM postings opened
  JOIN tickers t USING (ticker_id)
  LEFT JOIN postings ended ON ended.transaction_id = opened.transaction_id AND ended.part = 2
 WHERE opened.part = 0;
COMMENT ON VIEW transactions IS 'One row per transaction with its present status. For people and reports.';
