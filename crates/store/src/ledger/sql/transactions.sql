-- The transactions with these ids: the leg that opened each, and the leg that resolved it if it was a hold.
SELECT opened.transaction_id, t.ticker_id, t.name AS ticker, t.scale, opened.operation, opened.wallet_id,
       opened.counterparty_wallet_id, opened.amount::text AS amount, opened.status, opened.error,
       opened.created_at, opened.expires_at, opened.metadata::text AS metadata, opened.request_hash,
       opened.redelivered, opened.requested_by, resolved.error AS resolved_error,
       resolved.amount::text AS resolved_amount, resolved.created_at AS resolved_at,
       resolved.requested_by AS resolved_by
  FROM postings opened
  JOIN tickers t ON t.ticker_id = opened.ticker_id
  LEFT JOIN postings resolved ON opened.status = 'Created'
       AND resolved.transaction_id = opened.transaction_id AND resolved.leg = 2
 WHERE opened.transaction_id = ANY($1) AND opened.leg = 0
