//! Jute primitives over a slice (client protocol §1.2). Knows no record.

use std::borrow::Cow;
use std::fmt;

/// The bytes do not have the form they must have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Malformed {
    /// The record goes on behind the end of its frame.
    Eof,
    /// A length below −1, or beyond what is allowed.
    Length(i32),
    /// A number that names nothing: an operation, a mode, a type.
    Unknown(i32),
    /// Null where a value is needed.
    Null,
    /// A null ACL inside a multi. Java does not even get to see what it was.
    NullAcl,
    /// Text that does not have the form it must have.
    Text,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eof => write!(f, "the record ends behind the end of its bytes"),
            Self::Length(n) => write!(f, "unreasonable length {n}"),
            Self::Unknown(n) => write!(f, "{n} names nothing here"),
            Self::Null | Self::NullAcl => write!(f, "null where a value is needed"),
            Self::Text => write!(f, "a text that does not have its form"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Reads primitives from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(Malformed::Eof)?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Eof)?;
        self.rest = tail;
        Ok(*head)
    }

    /// One byte; any non-zero value is true.
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.array::<1>()? != [0])
    }

    /// Four bytes, big-endian.
    pub fn int(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Eight bytes, big-endian.
    pub fn long(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// Length and bytes; length −1 is null.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.int()? {
            -1 => Ok(None),
            n => {
                let n = usize::try_from(n).map_err(|_| Malformed::Length(n))?;
                self.take(n).map(Some)
            }
        }
    }

    /// A buffer of UTF-8. Broken sequences become U+FFFD, as in Java.
    pub fn string(&mut self) -> Result<Option<Cow<'a, str>>, Malformed> {
        Ok(self.buffer()?.map(String::from_utf8_lossy))
    }

    /// A string that must be there.
    pub fn some_string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.string()?.ok_or(Malformed::Null)
    }

    /// Element count of a vector: `None` for −1; any other negative count is empty (client protocol §1.2).
    pub fn count(&mut self) -> Result<Option<usize>, Malformed> {
        Ok(match self.int()? {
            -1 => None,
            n => Some(usize::try_from(n).unwrap_or(0)),
        })
    }

    /// A vector of strings; `None` for a null vector, an error for a null element.
    pub fn strings(&mut self) -> Result<Option<Vec<Cow<'a, str>>>, Malformed> {
        let Some(n) = self.count()? else { return Ok(None) };
        // Each element takes at least four bytes, so a lying count cannot make us allocate.
        let mut all = Vec::with_capacity(n.min(self.rest.len() / 4));
        for _ in 0..n {
            all.push(self.some_string()?);
        }
        Ok(Some(all))
    }
}

/// Appends primitives to a byte vector.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Bytes there are, those before this writer included.
    pub fn written(&self) -> usize {
        self.out.len()
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.out.push(u8::from(value));
    }

    /// Four bytes, big-endian.
    pub fn int(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian.
    pub fn long(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    /// Length and bytes; null is length −1.
    pub fn buffer(&mut self, value: Option<&[u8]>) {
        match value {
            None => self.int(-1),
            Some(bytes) => {
                self.count(bytes.len());
                self.raw(bytes);
            }
        }
    }

    /// A string that is there.
    pub fn string(&mut self, value: &str) {
        self.buffer(Some(value.as_bytes()));
    }

    /// Element count of a vector that is there.
    pub fn count(&mut self, n: usize) {
        self.int(i32::try_from(n).unwrap_or(i32::MAX));
    }

    /// A vector of strings.
    pub fn strings<S: AsRef<str>>(&mut self, all: &[S]) {
        self.count(all.len());
        for one in all {
            self.string(one.as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_are_different_and_both_survive() {
        let mut bytes = Vec::new();
        let mut w = Writer::new(&mut bytes);
        w.buffer(None);
        w.buffer(Some(b""));
        w.string("é");
        let mut r = Reader::new(&bytes);
        assert_eq!(r.buffer(), Ok(None));
        assert_eq!(r.buffer(), Ok(Some(&b""[..])));
        assert_eq!(r.string().unwrap().as_deref(), Some("é"));
        assert!(r.rest().is_empty());
    }

    #[test]
    fn lying_lengths_are_errors_not_allocations() {
        assert_eq!(Reader::new(&[0x7f, 0xff, 0xff, 0xff]).buffer(), Err(Malformed::Eof));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xfe]).buffer(), Err(Malformed::Length(-2)));
        assert_eq!(Reader::new(&[0x7f, 0xff, 0xff, 0xff, 0]).strings(), Err(Malformed::Eof));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xf0]).strings(), Ok(Some(vec![])));
        assert_eq!(Reader::new(&[0; 3]).int(), Err(Malformed::Eof));
    }
}
