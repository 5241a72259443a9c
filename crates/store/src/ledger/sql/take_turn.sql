-- Waits until no other writer is at it, and keeps all others waiting until the transaction ends: every statement
-- that appends takes this lock shared. PostgreSQL serves those who wait in their order, so nobody starves. The
-- lock is of this ledger's table, so ledgers in other schemas are not kept waiting. An instance that freezes
-- in its turn loses it after five seconds.
SELECT set_config('idle_in_transaction_session_timeout', '5000', true),
       pg_advisory_xact_lock(1718382450, 'postings'::regclass::oid::int)
