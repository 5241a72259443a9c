//! Declares exchanges and queues: at every start and reconnect, because a broker may come back without them, and again
//! when one was deleted under a running service.
//!
//! What exists with other settings is adopted where nothing depends on the difference: whoever changes
//! `delivery_limit` in the configuration must not stop the service. Types, durability and dead-lettering are not
//! negotiable: without them requests could be lost.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind};

use crate::connection::{Error, RPC_TIMEOUT, within};
use crate::{Exchange, Queue, Topology};

const DELIVERY_LIMIT: &str = "x-delivery-limit";
const SINGLE_ACTIVE_CONSUMER: &str = "x-single-active-consumer";

/// Declares one after the other, on a channel that is opened again after every refusal.
pub(crate) struct Declarer<'a> {
    connection: &'a Connection,
    channel: Channel,
    /// How what exists differs from what was to be declared, in the broker's words. It was adopted.
    pub(crate) adopted: Vec<String>,
}

impl<'a> Declarer<'a> {
    pub(crate) async fn new(connection: &'a Connection) -> Result<Self, Error> {
        Ok(Self { connection, channel: open(connection).await?, adopted: Vec::new() })
    }

    /// Declares everything, in an order in which each finds what it needs.
    pub(crate) async fn all(&mut self, topology: &Topology) -> Result<(), Error> {
        for queue in topology.queues() {
            self.queue(queue).await?;
        }
        for (exchange, queue) in topology.bound_exchanges() {
            self.exchange(&exchange).await?;
            if let Some(queue) = queue {
                self.bind(&exchange, &queue).await?;
            }
        }
        Ok(())
    }

    /// Routes all messages of each exchange to its queue, whether they were or not: there is no way to look.
    pub(crate) async fn bindings(&mut self, topology: &Topology) -> Result<(), Error> {
        for (exchange, queue) in topology.bound_exchanges() {
            if let Some(queue) = queue {
                self.bind(&exchange, &queue).await?;
            }
        }
        Ok(())
    }

    /// The exchanges and queues that do not exist, for people.
    pub(crate) async fn missing(&mut self, topology: &Topology) -> Result<Vec<String>, Error> {
        let mut missing = Vec::new();
        for queue in topology.queues() {
            if !self.has_queue(&queue).await? {
                missing.push(format!("queue {}", queue.name));
            }
        }
        for (exchange, _) in topology.bound_exchanges() {
            if !self.has_exchange(&exchange).await? {
                missing.push(format!("exchange {}", exchange.name));
            }
        }
        Ok(missing)
    }

    /// Declares a queue, with the values of an existing one where those may differ.
    pub(crate) async fn queue(&mut self, mut queue: Queue) -> Result<(), Error> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        loop {
            let declared =
                self.channel.queue_declare(queue.name.as_str().into(), options, queue.arguments.clone());
            let error = match within(RPC_TIMEOUT, "declare a queue", declared).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let Some(text) = self.refusal(&error, AMQPSoftError::PRECONDITIONFAILED).await? else {
                return Err(error);
            };
            if !Difference::parse(&text).is_some_and(|difference| difference.adopt(&mut queue.arguments)) {
                return Err(error);
            }
            self.adopted.push(text);
        }
    }

    /// Declares an exchange, or takes it as durable as it is.
    pub(crate) async fn exchange(&mut self, exchange: &Exchange) -> Result<(), Error> {
        let options = ExchangeDeclareOptions { durable: exchange.durable, ..Default::default() };
        let Err(error) = self.declare_exchange(exchange, options).await else { return Ok(()) };
        let Some(text) = self.refusal(&error, AMQPSoftError::PRECONDITIONFAILED).await? else {
            return Err(error);
        };
        if Difference::parse(&text).is_none_or(|difference| difference.argument != "durable") {
            return Err(error);
        }
        self.adopted.push(text);
        Ok(())
    }

    async fn bind(&self, exchange: &Exchange, queue: &str) -> Result<(), Error> {
        let options = QueueBindOptions::default();
        let name = exchange.name.as_str().into();
        let bound = self.channel.queue_bind(queue.into(), name, "#".into(), options, FieldTable::default());
        within(RPC_TIMEOUT, "bind a queue", bound).await
    }

    pub(crate) async fn has_exchange(&mut self, exchange: &Exchange) -> Result<bool, Error> {
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let found = self.declare_exchange(exchange, passive).await;
        self.found(found).await
    }

    async fn has_queue(&mut self, queue: &Queue) -> Result<bool, Error> {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(queue.name.as_str().into(), passive, FieldTable::default());
        let found = within(RPC_TIMEOUT, "look at a queue", declared).await;
        self.found(found.map(drop)).await
    }

    async fn declare_exchange(
        &self,
        exchange: &Exchange,
        options: ExchangeDeclareOptions,
    ) -> Result<(), Error> {
        let (name, kind) = (exchange.name.as_str().into(), exchange.kind.clone());
        let declared = self.channel.exchange_declare(name, kind, options, FieldTable::default());
        within(RPC_TIMEOUT, "declare an exchange", declared).await
    }

    async fn found(&mut self, found: Result<(), Error>) -> Result<bool, Error> {
        let Err(error) = found else { return Ok(true) };
        match self.refusal(&error, AMQPSoftError::NOTFOUND).await? {
            Some(_) => Ok(false),
            None => Err(error),
        }
    }

    /// What the broker said if it refused for this reason. It has closed the channel then, so another one is opened.
    async fn refusal(&mut self, error: &Error, reason: AMQPSoftError) -> Result<Option<String>, Error> {
        let Some(text) = refusal(error, reason) else { return Ok(None) };
        self.channel = open(self.connection).await?;
        Ok(Some(text))
    }
}

async fn open(connection: &Connection) -> Result<Channel, Error> {
    within(RPC_TIMEOUT, "open a channel", connection.create_channel()).await
}

/// What the broker said if it refused something for this reason.
pub(crate) fn refusal(error: &Error, reason: AMQPSoftError) -> Option<String> {
    match error {
        Error::Broker(error) => match error.kind() {
            ErrorKind::ProtocolError(refusal) if *refusal.kind() == AMQPErrorKind::Soft(reason) => {
                Some(refusal.get_message().to_string())
            }
            _ => None,
        },
        _ => None,
    }
}

/// One setting of something that exists, from the broker's words: `inequivalent arg 'x-delivery-limit' for queue
/// 'florin.work' in vhost '/': received the value '20' of type 'long' but current is the value '30' of type 'long'`.
#[derive(Debug, PartialEq, Eq)]
struct Difference<'a> {
    argument: &'a str,
    /// None if it is not set.
    current: Option<&'a str>,
}

impl<'a> Difference<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (_, rest) = text.split_once("inequivalent arg '")?;
        let (argument, rest) = rest.split_once('\'')?;
        let (_, current) = rest.split_once("but current is ")?;
        let current = match current {
            "none" => None,
            current => Some(current.split_once('\'')?.1.split_once('\'')?.0),
        };
        Some(Self { argument, current })
    }

    /// Changes the arguments to what exists, if that may differ. Returns whether that changed anything.
    fn adopt(&self, arguments: &mut FieldTable) -> bool {
        let value = match (self.argument, self.current) {
            (DELIVERY_LIMIT | SINGLE_ACTIVE_CONSUMER, None) => None,
            (DELIVERY_LIMIT, Some(limit)) => match limit.parse() {
                Ok(limit) => Some(AMQPValue::LongLongInt(limit)),
                Err(_) => return false,
            },
            (SINGLE_ACTIVE_CONSUMER, Some(active)) => match active.parse() {
                Ok(active) => Some(AMQPValue::Boolean(active)),
                Err(_) => return false,
            },
            _ => return false,
        };
        let mut adopted = arguments.inner().clone();
        match value {
            Some(value) => drop(adopted.insert(self.argument.into(), value)),
            None => drop(adopted.remove(self.argument)),
        }
        let before = std::mem::replace(arguments, adopted.into());
        before != *arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inequivalent(argument: &str, current: &str) -> String {
        format!(
            "PRECONDITION_FAILED - inequivalent arg '{argument}' for queue 'florin.work' in vhost '/': \
             received the value '20' of type 'long' but current is {current}"
        )
    }

    #[test]
    fn harmless_differences_are_adopted_and_others_are_not() {
        let set = |value: &str, kind: &str| format!("the value '{value}' of type '{kind}'");
        let cases = [
            (DELIVERY_LIMIT, set("30", "signedint"), Some(Some(AMQPValue::LongLongInt(30)))),
            (DELIVERY_LIMIT, "none".into(), Some(None)),
            (DELIVERY_LIMIT, set("many", "longstr"), None),
            (SINGLE_ACTIVE_CONSUMER, set("false", "bool"), Some(Some(AMQPValue::Boolean(false)))),
            (SINGLE_ACTIVE_CONSUMER, "none".into(), Some(None)),
            ("x-queue-type", set("classic", "longstr"), None),
            ("x-dead-letter-exchange", "none".into(), None),
            ("x-overflow", "none".into(), None),
            ("durable", "'false'".into(), None),
        ];
        for (argument, current, expected) in cases {
            let mut arguments = Topology::service("florin.work", 20, true, true).work_queue().arguments;
            let before = arguments.inner().len();
            let text = inequivalent(argument, &current);
            let adopted = Difference::parse(&text).unwrap().adopt(&mut arguments);
            assert_eq!(adopted, expected.is_some(), "{text}");
            if let Some(value) = expected {
                assert_eq!(arguments.inner().get(argument), value.as_ref(), "{text}");
                assert_eq!(arguments.inner().len(), before - usize::from(value.is_none()), "{text}");
            }
        }
        assert_eq!(Difference::parse("NOT_FOUND - no queue 'florin.work' in vhost '/'"), None);
    }
}
