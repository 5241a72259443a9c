//! Cuts a stream of bytes into messages, however it comes in pieces. Of long messages only the beginning is
//! kept.

/// How much of a message is kept: enough for the beginning of a statement.
const KEPT_BYTES: usize = 4096;

#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// The size of a message's header.
    pub(super) header_bytes: usize,
    /// How many follow, as the header says.
    pub(super) following: fn(&[u8]) -> usize,
}

/// A message that has arrived to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) header: Vec<u8>,
    /// What follows, or the beginning of it.
    pub(super) body: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Frames {
    header: Vec<u8>,
    body: Vec<u8>,
    /// What has not arrived yet, once the header has.
    missing: Option<usize>,
}

impl Frames {
    /// Takes bytes off `piece` until a message is whole, or nothing is left.
    pub(super) fn next(&mut self, layout: Layout, piece: &mut &[u8]) -> Option<Frame> {
        let missing = match self.missing {
            Some(missing) => missing,
            None => {
                let header = take(piece, layout.header_bytes - self.header.len());
                self.header.extend_from_slice(header);
                if self.header.len() < layout.header_bytes {
                    return None;
                }
                (layout.following)(&self.header)
            }
        };
        let body = take(piece, missing);
        let kept = body.len().min(KEPT_BYTES - self.body.len());
        self.body.extend_from_slice(&body[..kept]);
        if body.len() < missing {
            self.missing = Some(missing - body.len());
            return None;
        }
        let Self { header, body, .. } = std::mem::take(self);
        Some(Frame { header, body })
    }
}

fn take<'a>(piece: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = piece.split_at(count.min(piece.len()));
    *piece = rest;
    taken
}

/// A number of four bytes, the highest first.
pub(super) fn number(bytes: &[u8]) -> usize {
    bytes.iter().take(4).fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Layout = Layout { header_bytes: 2, following: |header| usize::from(header[1]) };

    fn read(frames: &mut Frames, mut piece: &[u8]) -> Vec<Frame> {
        std::iter::from_fn(|| frames.next(SHORT, &mut piece)).collect()
    }

    #[test]
    fn the_pieces_do_not_matter() {
        let stream = b"a\x03xyzb\x00c\x01!";
        let whole = read(&mut Frames::default(), stream);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[0], Frame { header: b"a\x03".to_vec(), body: b"xyz".to_vec() });
        for split in 0..stream.len() {
            let mut frames = Frames::default();
            let mut read_in_two = read(&mut frames, &stream[..split]);
            read_in_two.extend(read(&mut frames, &stream[split..]));
            assert_eq!(read_in_two, whole);
        }
    }

    #[test]
    fn of_a_long_message_the_beginning_is_kept() {
        let long = Layout { header_bytes: 4, following: number };
        let mut frames = Frames::default();
        assert_eq!(frames.next(long, &mut [0, 1, 0, 0].as_slice()), None);
        let body = vec![7; 0x1_0000];
        let frame = frames.next(long, &mut body.as_slice()).expect("it is whole");
        assert_eq!(frame.body.len(), KEPT_BYTES);
        assert_eq!(frames.next(long, &mut [0, 0, 0, 0].as_slice()).map(|frame| frame.body), Some(vec![]));
    }
}
