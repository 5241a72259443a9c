import json
from decimal import Decimal

reply = '{"actual_balance":{"USDT":123456789012345678.123456}}'
balance = json.loads(reply, parse_float=Decimal, parse_int=Decimal)
print(balance["actual_balance"]["USDT"])
