//! Reads a balance without losing a digit.

use florin_client::Reply;

fn main() -> Result<(), serde_json::Error> {
    let reply = r#"{"operation":"balance","code":200,"body":"{\"actual_balance\":{\"USDT\":123456789012345678.123456}}"}"#;
    let balances = Reply::from_json(reply.as_bytes())?.balances()?;
    println!("{}", balances.actual_balance["USDT"].0);
    Ok(())
}
