-- One row if the precondition holds: $1 are all tickers, and none of the postings $2 to $4 exists. OFFSET
-- keeps PostgreSQL to one look-up per posting, whatever its statistics say.
SELECT
 WHERE NOT EXISTS (SELECT FROM tickers WHERE ticker_id <> ALL($1::int[]))
   AND NOT EXISTS (
       SELECT FROM unnest($2::bigint[], $3::int[], $4::bigint[]) AS next (wallet_id, ticker_id, version)
        WHERE EXISTS (
              SELECT FROM postings p
               WHERE p.wallet_id = next.wallet_id AND p.ticker_id = next.ticker_id AND p.version = next.version
              OFFSET 0))
