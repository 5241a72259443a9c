-- Who did what: the one who opened a transaction, and the one who ended it.
--
-- `amqp:<user>` is a user of the broker, who cannot take another's name. Anything else was said by a user that the
-- service trusts to speak for others. Transactions of earlier versions have none.

DROP VIEW transactions;
ALTER TABLE postings ADD COLUMN requested_by text;
ALTER TABLE postings ADD CONSTRAINT postings_requested_by
    CHECK (requested_by IS NULL OR part IN (0, 2) AND octet_length(requested_by) BETWEEN 1 AND 255);
COMMENT ON COLUMN postings.requested_by IS 'Who opened the transaction (part 0) or ended it (part 2), where that is known.';

CREATE VIEW transactions AS
SELECT opened.transaction_id, opened.operation,
       coalesce(ended.status, opened.status) AS status, coalesce(ended.error, opened.error) AS error,
       opened.wallet_id, opened.counterparty_wallet_id, t.name AS ticker, opened.amount,
       CASE WHEN ended.status = 'Success' THEN ended.amount END AS settled_amount,
       opened.requested_by, ended.requested_by AS ended_by,
       opened.metadata, opened.created_at, opened.expires_at,
       CASE WHEN opened.status = 'Created' THEN ended.created_at ELSE opened.created_at END AS ended_at
  FROM postings opened
  JOIN tickers t USING (ticker_id)
  LEFT JOIN postings ended ON ended.transaction_id = opened.transaction_id AND ended.part = 2
 WHERE opened.part = 0;
COMMENT ON VIEW transactions IS 'One row per transaction with its present status. For people and reports.';
