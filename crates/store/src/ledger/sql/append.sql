-- Appends postings, sent as one array of rows. Waits while another writer has its turn (see take_turn.sql).
INSERT INTO postings (wallet_id, ticker_id, version, transaction_id, leg, operation, status, error, amount, actual_after,
                      frozen_after, held, counterparty_wallet_id, request_hash, redelivered, metadata, created_at,
                      expires_at, requested_by)
SELECT wallet_id, ticker_id, version, transaction_id, leg, operation, status, error, amount, actual_after,
       frozen_after, held, counterparty_wallet_id, request_hash, redelivered, metadata::json, created_at,
       expires_at, requested_by
  FROM unnest($1::new_posting[])
 WHERE (SELECT pg_advisory_xact_lock_shared(1718382450, 'postings'::regclass::oid::int)) IS NOT NULL
