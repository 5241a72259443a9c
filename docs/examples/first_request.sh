curl "$FLORIN_URL/invoice" -H "Authorization: Bearer $FLORIN_API_KEY" -H 'Idempotency-Key: order-17' \
     --json '{"wallet_id":1,"ticker":"USD","amount":"10.50"}'
