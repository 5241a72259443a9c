import json
import os
from decimal import Decimal

import pika

QUEUE = "events.billing"

# The newest balance of each wallet and ticker, with its version. A real consumer keeps these rows in its own
# database, and changes them in the same transaction as whatever else an event makes it do.
balances = {}


def on_message(channel, method, properties, body):
    for event in json.loads(body, parse_float=Decimal)["events"]:
        for balance in event["balances"]:
            key = balance["wallet_id"], balance["ticker"]
            version, _ = balances.get(key, (0, 0))
            if balance["version"] <= version:
                continue  # seen already, or overtaken by a newer one
            balances[key] = balance["version"], balance["actual_balance"]
            print(f"wallet {key[0]} has {balance['actual_balance']} {key[1]}")
    channel.basic_ack(method.delivery_tag)


channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])).channel()
channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
channel.queue_bind(QUEUE, "florin.events", "transaction.#")
channel.basic_qos(prefetch_count=100)
channel.basic_consume(QUEUE, on_message)
print("waiting for events")
channel.start_consuming()
