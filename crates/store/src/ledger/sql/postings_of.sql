-- All postings of these transactions.
SELECT p.transaction_id, p.leg, p.wallet_id, t.scale, p.version, p.actual_after::text AS actual_after,
       p.frozen_after::text AS frozen_after, p.held, p.created_at
  FROM postings p
  JOIN tickers t ON t.ticker_id = p.ticker_id
 WHERE p.transaction_id = ANY($1)
