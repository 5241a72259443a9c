-- Wallets ($1) as they were at a time ($2). OFFSET and LIMIT keep PostgreSQL from looking the version up once
-- per posting.
SELECT wanted.wallet_id, wanted.moment, t.ticker_id, t.scale, p.version, p.actual_after::text AS actual_after,
       p.frozen_after::text AS frozen_after, p.held, p.created_at
  FROM unnest($1::int8[], $2::timestamptz[]) AS wanted (wallet_id, moment)
 CROSS JOIN tickers t
 CROSS JOIN LATERAL (
       SELECT version_at(wanted.wallet_id, t.ticker_id, wanted.moment) OFFSET 0) last (version)
 CROSS JOIN LATERAL (
       SELECT * FROM postings p
        WHERE p.wallet_id = wanted.wallet_id AND p.ticker_id = t.ticker_id
          AND p.version = last.version LIMIT 1) p
