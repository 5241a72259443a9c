import json
import os
import time
import uuid

import pika


def ask_once(operation, message_id, body):
    """One attempt: the reply, or None if none came within ten seconds."""
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    try:
        channel = connection.channel()
        replies = []

        def on_reply(channel, method, properties, reply):
            replies.append(json.loads(reply))
            channel.stop_consuming()

        channel.basic_consume("amq.rabbitmq.reply-to", on_reply, auto_ack=True)
        properties = pika.BasicProperties(message_id=message_id, reply_to="amq.rabbitmq.reply-to", delivery_mode=2)
        channel.basic_publish("florin.requests", operation, json.dumps(body), properties)
        connection.call_later(10, channel.stop_consuming)
        channel.start_consuming()
        return replies[0] if replies else None
    finally:
        connection.close()


def ask(operation, message_id, body):
    """Asks until there is an answer: the identity makes every attempt the same request."""
    for attempt in range(10):
        try:
            reply = ask_once(operation, message_id, body)
        except pika.exceptions.AMQPError:
            reply = None
        if reply is not None:
            return reply
        time.sleep(min(2**attempt, 30))
    raise TimeoutError(f"no answer to {message_id} yet")


order_id = str(uuid.uuid4())  # saved with the order, before the first attempt
payment = {"wallet_id": 2, "ticker": "USD", "amount": "25.00"}
reply = ask("invoice", order_id, payment)
assert ask("invoice", order_id, payment) == reply, "the same request, the same answer"
print(reply["body"])
