//! Credits a wallet over AMQP, and prints the id of the transaction.

use florin_client::{CallOptions, Client, ClientOptions, MovementBody, Request};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect(&std::env::var("AMQP_URL")?, ClientOptions::default()).await?;
    let invoice = Request::Invoice(MovementBody::new(1, "USD", "10.50".parse()?));
    let options = CallOptions { message_id: Some("order-17".to_owned()), ..CallOptions::default() };
    let answer = client.call(&invoice, options).await?;
    println!("{}", answer.reply.receipt()?.transaction_id);
    client.close().await;
    Ok(())
}
