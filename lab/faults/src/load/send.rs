//! Sends one request until its outcome is known.
//!
//! An attempt that is not answered in time, or whose connection is lost, is unknown: it may be applied, or
//! still be on its way. A request with an identity is then sent again under it. One without an identity, or
//! of a client that does not repeat itself, is left: if the broker had confirmed it, its answer has to come
//! all the same.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Confirmation};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::choose::Asked;
use super::link::{Link, Route, reply_queue};
use super::{Client, REST_MS, Way};
use crate::history::What;

/// How long to wait for an answer before the request is sent again.
const ANSWER_LIMIT: Duration = Duration::from_secs(4);
/// How long a publish may take: when the broker takes no messages, it hangs.
const PUBLISH_LIMIT: Duration = Duration::from_secs(4);
const CONFIRM_LIMIT: Duration = Duration::from_secs(60);
const LINK_LIMIT: Duration = Duration::from_secs(1);
const PERSISTENT: u8 = 2;
const NO_CONNECTION: &str = "no connection";
/// Old requests that are sent again in one go.
const COPIES: usize = 30;

/// One worker of a client: a request after the other.
pub(super) async fn work(
    client: Arc<Client>,
    mut rng: Rng,
    stop: CancellationToken,
    give_up: CancellationToken,
) {
    while !stop.is_cancelled() {
        let rest = Duration::from_millis(rng.u64(0..REST_MS));
        let _ = timeout(rest, stop.cancelled()).await;
        let asked = {
            let mut memory = client.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.choose(&mut rng, client.bare_requests, || client.next_name())
        };
        client.pulse.requests.fetch_add(1, Ordering::Relaxed);
        give_up.run_until_cancelled(deliver(&client, asked)).await;
    }
}

/// Sends copies of old requests whenever that is asked for, and now and then by itself.
pub(super) async fn copy_on_demand(client: Arc<Client>, mut rng: Rng, stop: CancellationToken) {
    let mut demand = client.pulse.copies.subscribe();
    loop {
        let own = Duration::from_millis(rng.u64(2000..8000));
        let count = tokio::select! {
            () = stop.cancelled() => return,
            _ = demand.changed() => COPIES,
            () = tokio::time::sleep(own) => 1,
        };
        for _ in 0..count {
            let old = client.memory.lock().unwrap_or_else(PoisonError::into_inner).old(&mut rng);
            let Some(old) = old else { break };
            if stop.run_until_cancelled(attempt(&client, &old)).await.is_none() {
                return;
            }
        }
    }
}

async fn deliver(client: &Arc<Client>, asked: Asked) {
    let (told, mut answer) = oneshot::channel();
    client.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(asked.name.clone(), told);
    let mut unknown = false;
    loop {
        let sent_at = Instant::now();
        let outcome = match attempt(client, &asked).await {
            Ok(()) => timeout(ANSWER_LIMIT, &mut answer).await.map_err(|_| "no answer in time"),
            // Not sent this time. What was sent before may have been answered meanwhile.
            Err(NO_CONNECTION) if answer.try_recv().is_err() => continue,
            Err(NO_CONNECTION) => Ok(Ok(())),
            Err(why) => answer.try_recv().map(Ok).map_err(|_| why),
        };
        let Err(why) = outcome else {
            client.pulse.answers.fetch_add(1, Ordering::Relaxed);
            client.pulse.resolved.fetch_add(u64::from(unknown), Ordering::Relaxed);
            // What is read over HTTP does not take the way whose recovery is measured.
            if !unknown && matches!(client.way, Way::Messages(_)) {
                client.pulse.answered.send_if_modified(|latest| {
                    let later = sent_at > *latest;
                    *latest = sent_at.max(*latest);
                    later
                });
            }
            client.memory.lock().unwrap_or_else(PoisonError::into_inner).keep(asked);
            return;
        };
        unknown = true;
        client.pulse.unknown.fetch_add(1, Ordering::Relaxed);
        client.history.write(&asked.name, What::Unknown { attempt: asked.attempts(), why: why.to_owned() });
        if !asked.repeats {
            return;
        }
    }
}

/// Sends it once. Says why it cannot have arrived, or might not have.
async fn attempt(client: &Arc<Client>, asked: &Asked) -> Result<(), &'static str> {
    match &client.way {
        Way::Messages(link) => publish(client, link, asked).await,
        Way::Http(http) => {
            let attempt = asked.next_attempt();
            client.history.write(&asked.name, asked.sending(attempt));
            let answered = timeout(ANSWER_LIMIT, http.call(asked, attempt)).await;
            let answer = answered.map_err(|_| "no answer in time")??;
            client.history.write(&asked.name, answer.clone());
            client.answered(&asked.name, &answer);
            Ok(())
        }
    }
}

async fn publish(client: &Arc<Client>, link: &Link, asked: &Asked) -> Result<(), &'static str> {
    let mut channel = link.channel.subscribe();
    let channel = match timeout(LINK_LIMIT, channel.wait_for(Option::is_some)).await {
        Ok(Ok(channel)) => channel.clone(),
        _ => return Err(NO_CONNECTION),
    };
    let Some(channel) = channel else { return Err(NO_CONNECTION) };
    let attempt = asked.next_attempt();
    let (exchange, routing_key) = link.route.address(&asked.operation);
    let properties = properties(client.number, link.route, asked);
    client.history.write(&asked.name, asked.sending(attempt));
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let body = asked.body.as_bytes();
    let published = channel.basic_publish(exchange, routing_key, options, body, properties);
    match timeout(PUBLISH_LIMIT, published).await {
        Ok(Ok(confirm)) => {
            tokio::spawn(wait_for_confirm(Arc::clone(client), asked.name.clone(), attempt, confirm));
            Ok(())
        }
        Ok(Err(_)) => {
            link.renew.notify_one();
            Err("the connection is lost")
        }
        Err(_) => {
            link.renew.notify_one();
            Err("the broker takes nothing")
        }
    }
}

fn properties(client: u32, route: Route, asked: &Asked) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(PERSISTENT)
        .with_correlation_id(asked.name.as_str().into())
        .with_reply_to(reply_queue(client).into());
    if route == Route::Queue {
        properties = properties.with_type(asked.operation.as_str().into());
    }
    match &asked.message_id {
        Some(message_id) => properties.with_message_id(message_id.as_str().into()),
        None => properties,
    }
}

async fn wait_for_confirm(
    client: Arc<Client>,
    request: String,
    attempt: u32,
    confirm: impl Future<Output = lapin::Result<Confirmation>>,
) {
    let Ok(Ok(confirmation)) = timeout(CONFIRM_LIMIT, confirm).await else { return };
    let what = if confirmation.is_ack() {
        What::Confirmed { attempt }
    } else {
        What::NotTaken { attempt, why: "refused".to_owned() }
    };
    client.history.write(&request, what);
    // lapin may hand over a returned message with the confirmation of another one: its own name counts.
    if let Some(returned) = confirmation.take_message() {
        let name = returned.delivery.properties.correlation_id().as_ref().map(ToString::to_string);
        let why = "no queue takes it".to_owned();
        client.history.write(&name.unwrap_or_default(), What::NotTaken { attempt, why });
    }
}
