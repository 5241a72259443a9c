//! Reads AMQP values without decoding them: how long they are, and whether lapin can decode them.

/// How deep the headers of a message may be nested. What the broker adds (`x-death`) has three levels.
pub const MAX_DEPTH: usize = 8;

/// Bytes that are still to be read.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    /// A short string, with its length in front.
    pub(super) fn short(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.0.first()?);
        self.take(1 + length)
    }

    /// A long string, a table or an array, with its length in front.
    pub(super) fn long(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_be_bytes(self.0.get(..4)?.try_into().ok()?);
        self.take(usize::try_from(length).ok()?.checked_add(4)?)
    }

    /// The value of a header, with its type in front.
    pub(super) fn value(&mut self) -> Option<&'a [u8]> {
        let mut rest = Self(self.0.get(1..)?);
        let length = match self.0.first()? {
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            b'S' | b'x' | b'A' | b'F' => rest.long()?.len(),
            _ => return None,
        };
        self.take(1 + length)
    }
}

/// Whether a short string, with its length in front, is text.
pub(super) fn is_text(short: &[u8]) -> bool {
    short.get(1..).is_some_and(|text| str::from_utf8(text).is_ok())
}

/// Whether lapin can decode this value, and it has no more than `depth` levels.
pub(super) fn is_readable(value: &[u8], depth: usize) -> bool {
    match value.first() {
        Some(b'F') => depth > 0 && value.get(5..).is_some_and(|table| is_readable_table(table, depth - 1)),
        Some(b'A') => depth > 0 && value.get(5..).is_some_and(|array| is_readable_array(array, depth - 1)),
        _ => true,
    }
}

/// Whether lapin can decode the content of a table.
pub(super) fn is_readable_table(table: &[u8], depth: usize) -> bool {
    let mut rest = Bytes(table);
    while !rest.is_empty() {
        let (Some(name), Some(value)) = (rest.short(), rest.value()) else { return false };
        if !is_text(name) || !is_readable(value, depth) {
            return false;
        }
    }
    true
}

fn is_readable_array(array: &[u8], depth: usize) -> bool {
    let mut rest = Bytes(array);
    while !rest.is_empty() {
        let Some(value) = rest.value() else { return false };
        if !is_readable(value, depth) {
            return false;
        }
    }
    true
}
