-- The wallets that exist among $1, each with the last posting of each of its chains: one index look-up per
-- wallet and ticker.
SELECT w.wallet_id, last.ticker_id, last.scale, last.version, last.actual_after::text AS actual_after,
       last.frozen_after::text AS frozen_after, last.held, last.created_at
  FROM wallets w
  LEFT JOIN LATERAL (
       SELECT t.scale, newest.*
         FROM tickers t
        CROSS JOIN LATERAL (
              SELECT * FROM postings p
               WHERE p.wallet_id = w.wallet_id AND p.ticker_id = t.ticker_id
               ORDER BY p.version DESC LIMIT 1) newest
       ) last ON true
 WHERE w.wallet_id = ANY($1)
