//! Why the service dead-letters a request.

use lapin::types::ShortString;

/// Why the service dead-letters a request.
#[derive(Debug)]
pub(crate) struct Reason {
    /// A stable code.
    pub(crate) error: &'static str,
    /// For people.
    pub(crate) reason: String,
}

impl Reason {
    /// The broker closes the connection over a reply to this address.
    pub(crate) fn reply_to_refused(reply_to: &ShortString, broker_says: &str) -> Self {
        let reason = format!(
            "the request was executed, but RabbitMQ closes the connection over a reply to {:?}: {broker_says}",
            reply_to.as_str()
        );
        Self { error: "reply_to_refused", reason }
    }

    /// The broker closes the channel over this reply, whatever its address.
    pub(crate) fn reply_refused(broker_says: &str) -> Self {
        let reason = format!("the request was executed, but RabbitMQ refuses the reply: {broker_says}");
        Self { error: "reply_refused", reason }
    }

    /// The database refuses the data of the request.
    pub(crate) const fn data_refused(reason: String) -> Self {
        Self { error: "data_refused", reason }
    }
}
