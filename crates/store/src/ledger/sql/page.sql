-- A page of the history of wallet $1, in ticker $2 (null: all), of status $3 (null: all), from $4 to $5
-- (null: no bound), before the cursor $6 to $8 (time, ticker, version; null: from the newest). The cursor's
-- ticker and version decide whether a posting of the same time comes before or after it. At most $9 postings
-- of each chain are examined, and $10 are returned; "number" says how many were examined by then. OFFSET
-- keeps PostgreSQL from looking the bounds up once per posting.
SELECT t.ticker_id, t.name AS ticker, t.scale, p.version, p.created_at, p.transaction_id, p.operation, p.status, p.error,
       p.amount::text AS amount, p.actual_after::text AS actual_after, p.frozen_after::text AS frozen_after,
       p.counterparty_wallet_id, p.number
  FROM tickers t
 CROSS JOIN LATERAL (
       SELECT CASE WHEN $5::timestamptz IS NULL THEN 9223372036854775807
                   ELSE version_at($1, t.ticker_id, $5) END AS until_version,
              CASE WHEN $6::timestamptz IS NULL THEN 9223372036854775807
                   WHEN t.ticker_id = $7::int4
                   THEN greatest(version_at($1, t.ticker_id, $6 - interval '1 microsecond'),
                                 least(version_at($1, t.ticker_id, $6), $8::int8 - 1))
                   WHEN t.ticker_id < $7 THEN version_at($1, t.ticker_id, $6)
                   ELSE version_at($1, t.ticker_id, $6 - interval '1 microsecond') END AS before_version,
              CASE WHEN $4::timestamptz IS NULL THEN 1
                   ELSE version_at($1, t.ticker_id, $4 - interval '1 microsecond') + 1 END AS from_version
       OFFSET 0) span
 CROSS JOIN LATERAL (
       SELECT * FROM (
              SELECT p.*, row_number() OVER (ORDER BY p.version DESC) AS number
                FROM postings p
               WHERE p.wallet_id = $1 AND p.ticker_id = t.ticker_id
                 AND p.version >= span.from_version
                 AND p.version <= least(span.until_version, span.before_version)
               ORDER BY p.version DESC LIMIT $9) scanned
        WHERE $3::text IS NULL OR scanned.status = $3 OR scanned.number = $9
        LIMIT $10) p
 WHERE $2::int4 IS NULL OR t.ticker_id = $2
