//! What a client of AMQP 0-9-1 sends: where a published message ends.

use std::collections::HashMap;

use super::frames::{Frames, Layout, number};

pub(super) const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";

const FRAME: Layout = Layout { header_bytes: 7, following: |header| number(&header[3..]) + FRAME_END };
const FRAME_END: usize = 1;
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
/// basic.publish.
const PUBLISH: [u8; 4] = [0, 60, 0, 40];

/// Follows one direction: from the client to the broker.
#[derive(Debug, Default)]
pub(super) struct Amqp {
    greeted: usize,
    frames: Frames,
    /// The channels on which a message is under way, and how much of its content is missing, once that is
    /// known.
    publishing: HashMap<u16, Option<u64>>,
}

impl Amqp {
    /// Reads what the client sent, and returns behind which bytes of it a published message is whole.
    pub(super) fn sent(&mut self, piece: &[u8]) -> Option<usize> {
        let greeting = piece.len().min(PROTOCOL_HEADER.len() - self.greeted);
        self.greeted += greeting;
        let mut rest = &piece[greeting..];
        let mut first = None;
        while let Some(frame) = self.frames.next(FRAME, &mut rest) {
            let channel = u16::from_be_bytes([frame.header[1], frame.header[2]]);
            let size = number(&frame.header[3..]);
            if self.completes(frame.header[0], channel, size, &frame.body) && first.is_none() {
                first = Some(piece.len() - rest.len());
            }
        }
        first
    }

    fn completes(&mut self, kind: u8, channel: u16, size: usize, body: &[u8]) -> bool {
        let missing = match kind {
            METHOD if body.starts_with(&PUBLISH) => None,
            HEADER if self.publishing.contains_key(&channel) => {
                body.get(4..12).and_then(|size| size.try_into().ok()).map(u64::from_be_bytes)
            }
            BODY => match self.publishing.get(&channel) {
                Some(Some(missing)) => Some(missing.saturating_sub(size as u64)),
                _ => return false,
            },
            _ => return false,
        };
        if missing == Some(0) {
            self.publishing.remove(&channel);
            return true;
        }
        self.publishing.insert(channel, missing);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&[kind][..], &channel.to_be_bytes(), &size, payload, &[0xCE]].concat()
    }

    fn message(channel: u16, bodies: &[&[u8]]) -> Vec<u8> {
        let size: usize = bodies.iter().map(|body| body.len()).sum();
        let method = frame(METHOD, channel, b"\x00\x3c\x00\x28\x00\x00\x01q\x01k\x00");
        let properties = [b"\x00\x3c\x00\x00", &(size as u64).to_be_bytes()[..], b"\x00\x00"].concat();
        let bodies = bodies.iter().map(|body| frame(BODY, channel, body)).collect::<Vec<_>>();
        [method, frame(HEADER, channel, &properties), bodies.concat()].concat()
    }

    #[test]
    fn a_message_ends_with_the_last_of_its_content() {
        let heartbeat = frame(8, 0, b"");
        let stream = [PROTOCOL_HEADER, &heartbeat[..], &message(3, &[b"one", b"two"]), &heartbeat].concat();
        let end = stream.len() - heartbeat.len();
        assert_eq!(Amqp::default().sent(&stream), Some(end));
        for split in 1..stream.len() {
            let mut amqp = Amqp::default();
            let found = (amqp.sent(&stream[..split]), amqp.sent(&stream[split..]));
            let expected = if split >= end { (Some(end), None) } else { (None, Some(end - split)) };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_message_without_content_ends_with_its_header_and_an_ack_is_none() {
        let ack = frame(METHOD, 1, b"\x00\x3c\x00\x50\x00\x00\x00\x00\x00\x00\x00\x01\x00");
        let mut amqp = Amqp::default();
        assert_eq!(amqp.sent(&[PROTOCOL_HEADER, &ack[..]].concat()), None);
        let empty = message(1, &[]);
        assert_eq!(amqp.sent(&empty), Some(empty.len()));
    }
}
