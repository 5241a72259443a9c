import amqp from 'amqplib';

const connection = await amqp.connect(process.env.AMQP_URL);
const channel = await connection.createChannel();
const replied = new Promise((resolve) =>
  channel.consume('amq.rabbitmq.reply-to', resolve, { noAck: true }));
const body = JSON.stringify({ wallet_id: 1, ticker: 'USD', amount: '10.50' });
channel.publish('florin.requests', 'invoice', Buffer.from(body),
  { messageId: 'order-17', replyTo: 'amq.rabbitmq.reply-to' });
console.log((await replied).content.toString());
await connection.close();
