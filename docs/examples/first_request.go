package main

import (
	"context"
	"fmt"
	"log"
	"os"

	amqp "github.com/rabbitmq/amqp091-go"
)

func main() {
	connection, err := amqp.Dial(os.Getenv("AMQP_URL"))
	check(err)
	channel, err := connection.Channel()
	check(err)
	replies, err := channel.Consume("amq.rabbitmq.reply-to", "", true, false, false, false, nil)
	check(err)
	request := amqp.Publishing{
		MessageId: "order-17", ReplyTo: "amq.rabbitmq.reply-to",
		Body: []byte(`{"wallet_id":1,"ticker":"USD","amount":"10.50"}`),
	}
	ctx := context.Background()
	check(channel.PublishWithContext(ctx, "florin.requests", "invoice", false, false, request))
	fmt.Println(string((<-replies).Body))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
