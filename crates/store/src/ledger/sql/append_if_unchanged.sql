-- Appends the postings $5 if the precondition ($1 to $4, see unchanged.sql) holds. Waits for turns as
-- append.sql does.
WITH unchanged AS (
     SELECT
      WHERE (SELECT pg_advisory_xact_lock_shared(1718382450, 'postings'::regclass::oid::int)) IS NOT NULL
        AND NOT EXISTS (SELECT FROM tickers WHERE ticker_id <> ALL($1::int[]))
        AND NOT EXISTS (
            SELECT FROM unnest($2::bigint[], $3::int[], $4::bigint[]) AS next (wallet_id, ticker_id, version)
             WHERE EXISTS (
                   SELECT FROM postings p
                    WHERE p.wallet_id = next.wallet_id AND p.ticker_id = next.ticker_id AND p.version = next.version
                   OFFSET 0)))
INSERT INTO postings (wallet_id, ticker_id, version, transaction_id, leg, operation, status, error, amount, actual_after,
                      frozen_after, held, counterparty_wallet_id, request_hash, redelivered, metadata, created_at,
                      expires_at, requested_by)
SELECT wallet_id, ticker_id, version, transaction_id, leg, operation, status, error, amount, actual_after,
       frozen_after, held, counterparty_wallet_id, request_hash, redelivered, metadata::json, created_at,
       expires_at, requested_by
  FROM unnest($5::new_posting[])
 WHERE EXISTS (SELECT FROM unchanged)
