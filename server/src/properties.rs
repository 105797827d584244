//! The text format of zoo.cfg: `java.util.Properties`. Knows no key.

use std::fmt;

/// One logical line: a key, its value, both trimmed, and the line the key stands on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Property {
    /// The key.
    pub key: String,
    /// The value; may be empty.
    pub value: String,
    /// Counted from 1.
    pub line: u32,
}

/// The only thing that is wrong in this format: a `\u` without four hex digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// Counted from 1.
    pub line: u32,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Malformed \\uxxxx encoding: \\u needs four hexadecimal digits")
    }
}

/// Reads a file's bytes (ISO 8859-1) in order; a key may come more than once.
pub fn parse(bytes: &[u8]) -> Result<Vec<Property>, Malformed> {
    let mut lines = NaturalLines { rest: bytes, number: 0 };
    let mut properties = Vec::new();
    while let Some((first, line)) = lines.next() {
        let first = trim_start(first);
        if matches!(first.first(), None | Some(b'#' | b'!')) {
            continue;
        }
        let logical = lines.join_continuations(first);
        // A lone backslash in front of a blank line: there is no key at all.
        if !logical.is_empty() {
            properties.push(split(&logical).ok_or(Malformed { line })?.into_property(line));
        }
    }
    Ok(properties)
}

struct NaturalLines<'a> {
    rest: &'a [u8],
    number: u32,
}

impl<'a> NaturalLines<'a> {
    fn next(&mut self) -> Option<(&'a [u8], u32)> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
        let line = &self.rest[..end.unwrap_or(self.rest.len())];
        self.rest = match end {
            Some(end) if self.rest[end..].starts_with(b"\r\n") => &self.rest[end + 2..],
            Some(end) => &self.rest[end + 1..],
            None => &[],
        };
        self.number += 1;
        Some((line, self.number))
    }

    /// A backslash at the end of a line joins it with the next one, whose indentation does not count.
    fn join_continuations(&mut self, first: &[u8]) -> Vec<u8> {
        let mut logical = first.to_vec();
        while ends_in_odd_backslash(&logical) {
            logical.pop();
            match self.next() {
                Some((next, _)) => logical.extend_from_slice(trim_start(next)),
                None => break,
            }
        }
        logical
    }
}

/// Of earlier lines an even number of backslashes is left at the seam, so the joined line may be asked.
fn ends_in_odd_backslash(line: &[u8]) -> bool {
    line.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0c)
}

fn trim_start(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|b| !is_blank(*b)).unwrap_or(line.len());
    &line[start..]
}

struct Pair {
    key: String,
    value: String,
}

impl Pair {
    fn into_property(self, line: u32) -> Property {
        Property { key: trim(&self.key), value: trim(&self.value), line }
    }
}

/// Like Java's `String.trim`: everything up to the space, at both ends.
fn trim(text: &str) -> String {
    text.trim_matches(|c: char| c <= ' ').to_owned()
}

/// The key ends at the first `=`, `:` or blank that no backslash precedes. `None`: a malformed `\u`.
fn split(line: &[u8]) -> Option<Pair> {
    let mut end = 0;
    while let Some(&byte) = line.get(end) {
        match byte {
            b'\\' => end += 2,
            b'=' | b':' => break,
            byte if is_blank(byte) => break,
            _ => end += 1,
        }
    }
    let end = end.min(line.len());
    let mut value = trim_start(&line[end..]);
    if let Some(b'=' | b':') = value.first() {
        value = trim_start(&value[1..]);
    }
    Some(Pair { key: unescape(&line[..end])?, value: unescape(value)? })
}

/// UTF-16 like Java, because two `\u` escapes may be one character.
fn unescape(text: &[u8]) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            units.push(u16::from(byte));
            continue;
        }
        let Some((&escaped, tail)) = rest.split_first() else { break };
        rest = tail;
        units.push(match escaped {
            b't' => 0x09,
            b'n' => 0x0a,
            b'f' => 0x0c,
            b'r' => 0x0d,
            b'u' => {
                let (digits, tail) = rest.split_at_checked(4)?;
                rest = tail;
                hex4(digits)?
            }
            other => u16::from(other),
        });
    }
    Some(String::from_utf16_lossy(&units))
}

fn hex4(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |unit, digit| {
        let value = char::from(*digit).to_digit(16)? as u16;
        Some(unit << 4 | value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, u32)> {
        let properties = parse(text.as_bytes()).expect("well-formed");
        properties.into_iter().map(|p| (p.key, p.value, p.line)).collect()
    }

    fn one(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{text:?}");
        let (key, value, _) = all.remove(0);
        (key, value)
    }

    #[test]
    fn a_key_ends_at_equals_colon_or_blank() {
        for text in ["a=b", "a:b", "a b", "a = b", "a : b", "\ta\t=\tb", "  a  b", "a\x0cb"] {
            assert_eq!(one(text), ("a".into(), "b".into()), "{text:?}");
        }
        assert_eq!(one("a = = b"), ("a".into(), "= b".into()));
        assert_eq!(one("a"), ("a".into(), String::new()));
        assert_eq!(one("a="), ("a".into(), String::new()));
        assert_eq!(one("=b"), (String::new(), "b".into()));
    }

    #[test]
    fn keys_and_values_are_trimmed_at_both_ends() {
        assert_eq!(one("a = b  \t "), ("a".into(), "b".into()));
        assert_eq!(one("a = \\tb\\n"), ("a".into(), "b".into()));
    }

    #[test]
    fn comments_and_blank_lines_are_skipped_and_counted() {
        let text = "# one\r\n! two\r\r\n\n  # three \\\na=1\r\nb=2 # kept";
        assert_eq!(pairs(text), [("a".into(), "1".into(), 6), ("b".into(), "2 # kept".into(), 7)]);
    }

    #[test]
    fn a_backslash_at_the_end_continues_the_line() {
        assert_eq!(one("a = b,\\\n    c,\\\r\n\td"), ("a".into(), "b,c,d".into()));
        assert_eq!(one("a = b\\\\"), ("a".into(), "b\\".into()));
        assert_eq!(one("a = b\\\n# no comment"), ("a".into(), "b# no comment".into()));
        assert_eq!(one("a = b\\"), ("a".into(), "b".into()));
        assert_eq!(pairs("a = b\\\n\nc=d").len(), 2);
        assert_eq!(pairs("\\\n\nc=d"), [("c".into(), "d".into(), 3)]);
    }

    #[test]
    fn escapes_are_resolved_in_keys_and_values() {
        assert_eq!(one("a\\ b\\=c\\:d = x\\ty"), ("a b=c:d".into(), "x\ty".into()));
        assert_eq!(one("a = C:\\\\zk\\q"), ("a".into(), "C:\\zkq".into()));
        assert_eq!(one("\\u00e4 = \\ud83d\\ude00"), ("ä".into(), "😀".into()));
    }

    #[test]
    fn bytes_are_iso_8859_1() {
        assert_eq!(parse(b"a=\xe4").unwrap()[0].value, "ä");
        assert_eq!(parse("a=ä".as_bytes()).unwrap()[0].value, "Ã¤");
    }

    #[test]
    fn an_incomplete_unicode_escape_is_refused_with_its_line() {
        for text in ["x=1\na=\\u12", "x=1\na=\\u12g4", "x=1\n\\u=a", "x=1\na=\\u\\u00e4"] {
            assert_eq!(parse(text.as_bytes()), Err(Malformed { line: 2 }), "{text:?}");
        }
    }
}
