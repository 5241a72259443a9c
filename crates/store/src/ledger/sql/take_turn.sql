-- Takes a turn: waits until no other writer appends, and keeps all others waiting until the transaction
-- ends, because every statement that appends takes this lock shared. PostgreSQL grants the lock in the
-- order of the requests, so no writer starves. The lock belongs to this ledger's table, so ledgers in other
-- schemas do not wait. An instance that freezes in its turn loses it after five seconds.
SELECT set_config('idle_in_transaction_session_timeout', '5000', true),
       pg_advisory_xact_lock(1718382450, 'postings'::regclass::oid::int)
