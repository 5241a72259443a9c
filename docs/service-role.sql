-- A role for `florin serve --no-migrate`: it appends and reads, and can neither change nor delete what is in the ledger.
-- Run it as the owner of the tables, who migrates (`florin migrate`), and give the role a password.
CREATE ROLE florin_service LOGIN;
GRANT SELECT, INSERT ON postings, wallets, tickers TO florin_service;
-- The type of the rows that are appended. Everybody may use it, unless the owner's default privileges say otherwise.
GRANT USAGE ON TYPE new_posting TO florin_service;
-- The open holds, derived from postings.
GRANT SELECT, INSERT, DELETE ON holds TO florin_service;
GRANT SELECT, INSERT, UPDATE (revoked_at) ON api_keys TO florin_service;
GRANT SELECT ON ledger, refinery_schema_history TO florin_service;
