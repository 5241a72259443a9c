//! RabbitMQ's direct reply-to addresses: `amq.rabbitmq.reply-to.<process of the client's channel>.<key>`.
//!
//! The broker decodes such an address when a reply is published to it, and closes the publisher's connection
//! if it cannot: if the address has another form, names a node that is not of the cluster, or a process that
//! the node cannot have. A client may write what it likes there. So addresses of another form are not
//! allowed, and the rest is told apart by [`Kind`]: once the broker has taken a reply to one of a kind, it
//! takes them all. What it says to a new kind is found out on a connection of its own
//! ([`Scout`](crate::scout::Scout)).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The beginning of such an address.
pub(crate) const PREFIX: &str = "amq.rabbitmq.reply-to";

/// The longest name of a queue.
const MAX_BYTES: usize = 255;
/// The bits of a process's number and serial that every node knows.
const SMALL: (u32, u32) = (15, 13);

// Erlang's external term format.
const VERSION: u8 = 131;
const NEW_PID: u8 = 88;
const PID: u8 = 103;
const ATOM: u8 = 100;
const SMALL_ATOM: u8 = 115;
const ATOM_UTF8: u8 = 118;
const SMALL_ATOM_UTF8: u8 = 119;

/// What decides whether the broker can decode an address: the same for all clients of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    /// The name of the node, with how it is written.
    node: Vec<u8>,
    /// The bits of the process's number and serial, and which start of the node it belongs to: these matter
    /// only for large numbers.
    large: Option<(u32, u32, u32)>,
}

impl Kind {
    /// None if the broker has issued no such address.
    pub(crate) fn of(reply_to: &str) -> Option<Self> {
        let (process, key) = reply_to.strip_prefix(PREFIX)?.strip_prefix('.')?.split_once('.')?;
        let mut buffer = [0; MAX_BYTES];
        if STANDARD.decode_slice(key, &mut buffer).ok()? == 0 {
            return None;
        }
        let length = STANDARD.decode_slice(process, &mut buffer).ok()?;
        Self::of_process(&buffer[..length])
    }

    fn of_process(process: &[u8]) -> Option<Self> {
        let [VERSION, kind, atom, rest @ ..] = process else { return None };
        let (name_bytes, rest) = match (*atom, rest) {
            (ATOM | ATOM_UTF8, [high, low, rest @ ..]) => {
                (usize::from(u16::from_be_bytes([*high, *low])), rest)
            }
            (SMALL_ATOM | SMALL_ATOM_UTF8, [length, rest @ ..]) => (usize::from(*length), rest),
            _ => return None,
        };
        let numbers = rest.get(name_bytes..)?;
        let (number, rest) = numbers.split_first_chunk::<4>()?;
        let (serial, creation) = rest.split_first_chunk::<4>()?;
        let creation = match (*kind, creation) {
            (NEW_PID, [a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]),
            (PID, [creation]) => u32::from(*creation),
            _ => return None,
        };
        let bits = |number: &[u8; 4]| u32::BITS - u32::from_be_bytes(*number).leading_zeros();
        let (number, serial) = (bits(number), bits(serial));
        let is_small = number <= SMALL.0 && serial <= SMALL.1;
        Some(Self {
            node: process[..process.len() - numbers.len()].to_vec(),
            large: (!is_small).then_some((number, serial, creation)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As RabbitMQ 3.10 writes it.
    fn process(node: &str, number: u32, serial: u32, creation: u32) -> Vec<u8> {
        let length = u16::try_from(node.len()).unwrap().to_be_bytes();
        let numbers = [number, serial, creation].map(u32::to_be_bytes).concat();
        [&[VERSION, NEW_PID, ATOM_UTF8], &length[..], node.as_bytes(), &numbers].concat()
    }

    fn address(process: &[u8]) -> String {
        format!("{PREFIX}.{}.{}", STANDARD.encode(process), STANDARD.encode([7; 16]))
    }

    fn kind(node: &str, number: u32, serial: u32, creation: u32) -> Kind {
        Kind::of(&address(&process(node, number, serial, creation))).unwrap()
    }

    #[test]
    fn addresses_of_one_node_are_of_one_kind() {
        let known = kind("reply@4711", 700, 0, 1_700_000_000);
        assert_eq!(kind("reply@4711", 32_767, 8191, 1), known);
        for other in [
            kind("reply@4712", 700, 0, 1_700_000_000),
            kind("reply@04711", 700, 0, 1_700_000_000),
            kind("reply@4711", 32_768, 0, 1_700_000_000),
            kind("reply@4711", 0, 8192, 1_700_000_000),
        ] {
            assert_ne!(other, known);
        }
        // Whether a large number is too large is up to the node, and it checks its own only.
        assert_eq!(kind("reply@4711", 70_000, 0, 5), kind("reply@4711", 100_000, 0, 5));
        assert_ne!(kind("reply@4711", 70_000, 0, 5), kind("reply@4711", 700_000, 0, 5));
        assert_ne!(kind("reply@4711", 70_000, 0, 5), kind("reply@4711", 70_000, 0, 6));
    }

    #[test]
    fn older_forms_are_known() {
        for process in [
            [&[VERSION, PID, ATOM, 0, 6], &b"r@host"[..], &[0, 0, 1, 0, 0, 0, 0, 0, 3]].concat(),
            [&[VERSION, NEW_PID, SMALL_ATOM_UTF8, 6], &b"r@host"[..], &[0; 12]].concat(),
        ] {
            assert!(Kind::of(&address(&process)).is_some(), "{process:?}");
        }
    }

    #[test]
    fn everything_else_was_issued_by_no_broker() {
        let good = process("reply@4711", 700, 0, 1);
        let key = STANDARD.encode([7; 16]);
        let encoded = STANDARD.encode(&good);
        let mut addresses = vec![
            PREFIX.to_owned(),
            format!("{PREFIX}."),
            format!("{PREFIX}.a.b"),
            format!("{PREFIX}.{encoded}"),
            format!("{PREFIX}.{encoded}."),
            format!("{PREFIX}.{encoded}.{key}.{key}"),
            format!("{PREFIX}..{encoded}.{key}"),
            format!("{PREFIX}.{encoded}=.{key}"),
            format!("{PREFIX}.{}.{key}", encoded.replace('g', "-")),
            format!("{PREFIX}.{encoded}.key"),
            format!("{PREFIX}x.{encoded}.{key}"),
        ];
        let mut wrong = good.clone();
        wrong[1] = PID;
        addresses.push(address(&wrong));
        addresses.push(address(&[&good[..], &[0]].concat()));
        addresses.push(address(&good[..good.len() - 1]));
        addresses.push(address(&[VERSION, 80, 0, 0, 0, 9, 1, 2, 3]));
        for address in addresses {
            assert_eq!(Kind::of(&address), None, "{address}");
        }
    }
}
