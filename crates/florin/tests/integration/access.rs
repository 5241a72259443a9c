//! Who may do what: the permissions of the documentation, the names that are recorded, and where answers may go.

mod names;
mod permissions;
mod refused;
mod secrets;

use florin_client::{Client, ClientOptions};

use crate::common::World;

/// The same virtual host, as another user.
fn as_user(world: &World, user: &str, password: &str) -> String {
    let (_, address) = world.amqp_url.rsplit_once('@').unwrap();
    let password = password.replace(' ', "%20");
    format!("amqp://{user}:{password}@{address}")
}

async fn client(amqp_url: &str, options: ClientOptions) -> Client {
    Client::connect(amqp_url, ClientOptions { send_user_id: true, ..options }).await.unwrap()
}
