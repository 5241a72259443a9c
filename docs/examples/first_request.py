import os

import pika

channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])).channel()


def on_reply(channel, method, properties, body):
    print(body.decode())
    channel.stop_consuming()


channel.basic_consume("amq.rabbitmq.reply-to", on_reply, auto_ack=True)
channel.basic_publish(
    exchange="florin.requests",
    routing_key="invoice",
    properties=pika.BasicProperties(message_id="order-17", reply_to="amq.rabbitmq.reply-to"),
    body='{"wallet_id": 1, "ticker": "USD", "amount": "10.50"}',
)
channel.start_consuming()
