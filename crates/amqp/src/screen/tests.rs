//! What passes the screen is what lapin can decode, and nothing else is changed.

use amq_protocol::frame::{AMQPFrame, parse_frame};
use amq_protocol::types::AMQPValue;
use proptest::prelude::*;

use super::frame::{HEADER, METHOD, readable};
use super::stream::Screen;
use super::{MAX_DEPTH, UNDECODABLE};

const CORRELATION_ID: u16 = 1 << 10;
const MESSAGE_ID: u16 = 1 << 7;
const HEADERS: u16 = 1 << 13;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 0, 1], &length[..], payload, &[0xCE]].concat()
}

fn header(flags: u16, properties: &[u8]) -> Vec<u8> {
    let fixed = [&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], &flags.to_be_bytes()[..]].concat();
    frame(HEADER, &[&fixed, properties].concat())
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// So many arrays in one another.
fn nested(levels: usize) -> Vec<u8> {
    let mut value = b"V".to_vec();
    for _ in 0..levels {
        value = [b"A".to_vec(), long(&value)].concat();
    }
    value
}

fn decode(frame: &[u8]) -> AMQPFrame {
    let (rest, decoded) = parse_frame(frame).expect("lapin can decode it");
    assert!(rest.is_empty());
    decoded
}

fn properties(frame: &[u8]) -> amq_protocol::protocol::BasicProperties {
    match decode(frame) {
        AMQPFrame::Header(1, header) => header.properties,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_that_is_not_utf8_is_left_out_and_named() {
    let frame = header(CORRELATION_ID | MESSAGE_ID, &[short(b"\xff\xfe"), short(b"order 17")].concat());
    assert!(parse_frame(&frame[..]).is_err());
    let read = properties(&readable(&frame).unwrap());
    assert_eq!(read.correlation_id(), &None);
    assert_eq!(read.message_id().as_ref().unwrap().as_str(), "order 17");
    let headers = read.headers().as_ref().unwrap();
    assert_eq!(headers.inner()[UNDECODABLE], AMQPValue::LongString("correlation_id".into()));
    assert_eq!(headers.inner().len(), 1);
}

#[test]
fn a_deep_header_loses_its_value_and_no_other_does() {
    let table = |levels| [short(b"deep"), nested(levels), short(b"flat"), b"I\0\0\0\x07".to_vec()].concat();
    assert_eq!(readable(&header(HEADERS, &long(&table(MAX_DEPTH)))), None, "as deep as it may be");
    for levels in [MAX_DEPTH + 1, 20_000] {
        let read = properties(&readable(&header(HEADERS, &long(&table(levels)))).unwrap());
        let headers = read.headers().as_ref().unwrap().inner();
        assert_eq!(headers["deep"], AMQPValue::Void);
        assert_eq!(headers["flat"], AMQPValue::LongInt(7));
        assert_eq!(headers.len(), 2, "everything else is read, so nothing is undecodable");
    }
}

#[test]
fn headers_of_an_unknown_type_are_left_out_as_a_whole() {
    let table = [short(b"flat"), b"t\x01".to_vec(), short(b"odd"), b"?".to_vec()].concat();
    let frame = header(HEADERS | MESSAGE_ID, &[long(&table), short(b"m")].concat());
    let read = properties(&readable(&frame).unwrap());
    let headers = read.headers().as_ref().unwrap().inner();
    assert_eq!(headers[UNDECODABLE], AMQPValue::LongString("headers".into()));
    assert_eq!((headers.len(), read.message_id().is_some()), (1, true));
}

#[test]
fn names_of_a_delivery_are_made_readable() {
    let deliver = |routing_key: &[u8]| {
        let start = [&[0, 60, 0, 60], &short(b"tag")[..], &[0, 0, 0, 0, 0, 0, 0, 9, 0]].concat();
        frame(METHOD, &[start, short(b"queries"), short(routing_key)].concat())
    };
    assert_eq!(readable(&deliver("bälance".as_bytes())), None);
    assert_eq!(readable(&deliver(b"b\xe4\xff")), Some(deliver(b"b??")));
    let get_ok = frame(METHOD, b"\0\x3c\0\x47\0\0\0\0\0\0\0\x09\0\x01\xff\x01k\0\0\0\x02");
    let read = frame(METHOD, b"\0\x3c\0\x47\0\0\0\0\0\0\0\x09\0\x01?\x01k\0\0\0\x02");
    assert_eq!(readable(&get_ok), Some(read));
}

/// However the bytes arrive, the frames are the same.
#[test]
fn frames_may_come_in_pieces() {
    let bad = header(CORRELATION_ID, &short(b"\xff"));
    let body = frame(3, &[0xCE; 300]);
    let good = header(MESSAGE_ID, &short(b"m"));
    let sent = [&bad[..], &body, &good, &body, &bad].concat();
    let rewritten = readable(&bad).unwrap();
    let expected = [&rewritten[..], &body, &good, &body, &rewritten].concat();
    for piece in [1, 2, 7, 64, sent.len()] {
        let (mut screen, mut passed, mut to) = (Screen::default(), Vec::<u8>::new(), [0; 50]);
        for bytes in sent.chunks(piece) {
            screen.add(bytes);
            loop {
                match screen.pass(&mut to) {
                    0 => break,
                    length => passed.extend(&to[..length]),
                }
            }
        }
        assert_eq!(passed, expected, "pieces of {piece}");
    }
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..12);
    let flat = (prop::sample::select(&b"tbBsUuIifDLldTSxV?"[..]), bytes()).prop_map(|(kind, bytes)| {
        let content = if matches!(kind, b'S' | b'x') { long(&bytes) } else { bytes };
        [vec![kind], content].concat()
    });
    flat.prop_recursive(12, 40, 3, |inner| {
        let field = (prop::collection::vec(any::<u8>(), 0..3), inner.clone());
        let field = field.prop_map(|(name, value)| [short(&name), value].concat());
        prop_oneof![
            prop::collection::vec(inner, 0..3)
                .prop_map(|values| [b"A".to_vec(), long(&values.concat())].concat()),
            prop::collection::vec(field, 0..3)
                .prop_map(|fields| [b"F".to_vec(), long(&fields.concat())].concat()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The screen and lapin agree on what can be decoded, but for depth; and what is rewritten always can.
    #[test]
    fn whatever_passes_can_be_decoded(
        flags in any::<u16>(),
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..4),
        value in any_value(),
        end in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let table = long(&[short(b"name"), value].concat());
        let texts: Vec<u8> = texts.iter().flat_map(|text| short(text)).collect();
        for (flags, properties) in [
            (flags & !0b11, [&texts[..], &end].concat()),
            (flags, end.clone()),
            (HEADERS | flags & 0x1fc, [&table[..], &texts, &end].concat()),
            (HEADERS, table.clone()),
        ] {
            let frame = header(flags, &properties);
            match readable(&frame) {
                None => prop_assert!(parse_frame(&frame[..]).is_ok()),
                Some(readable) => {
                    prop_assert!(parse_frame(&readable[..]).is_ok(), "{readable:?}");
                    prop_assert!(super::frame::readable(&readable).is_none(), "once is enough");
                }
            }
        }
    }
}
