-- Locks wallets against other batches that lock too, until the transaction ends; always in one order, so that
-- none waits in a circle.
SELECT wallet_id FROM wallets WHERE wallet_id = ANY($1) ORDER BY wallet_id FOR NO KEY UPDATE
