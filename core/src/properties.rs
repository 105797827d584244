//! The text format of zoo.cfg and of an ensemble's configuration: `java.util.Properties`. Knows no key.

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

/// Reads a text in order; a key may come more than once.
pub fn parse(text: &str) -> Result<Vec<Property>, Malformed> {
    let mut lines = NaturalLines { rest: text, number: 0 };
    let mut properties = Vec::new();
    while let Some((first, line)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let logical = lines.join_continuations(first);
        // A lone backslash in front of a blank line: there is no key at all.
        if !logical.is_empty() {
            properties.push(split(&logical, line).ok_or(Malformed { line })?);
        }
    }
    Ok(properties)
}

/// The text of a file, which is ISO 8859-1.
pub fn text_of(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

struct NaturalLines<'a> {
    rest: &'a str,
    number: u32,
}

impl<'a> NaturalLines<'a> {
    fn next(&mut self) -> Option<(&'a str, u32)> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        self.rest = match rest.strip_prefix("\r\n") {
            Some(rest) => rest,
            None => rest.strip_prefix(['\n', '\r']).unwrap_or_default(),
        };
        self.number += 1;
        Some((line, self.number))
    }

    /// A backslash at the end of a line joins it with the next one, whose indentation does not count.
    fn join_continuations(&mut self, first: &str) -> String {
        let mut logical = first.to_owned();
        while ends_in_odd_backslash(&logical) {
            logical.pop();
            match self.next() {
                Some((next, _)) => logical.push_str(next.trim_start_matches(is_blank)),
                None => break,
            }
        }
        logical
    }
}

/// Of earlier lines an even number of backslashes is left at the seam, so the joined line may be asked.
fn ends_in_odd_backslash(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Like Java's `String.trim`: everything up to the space, at both ends.
fn trim(text: &str) -> String {
    text.trim_matches(|c: char| c <= ' ').to_owned()
}

/// The key ends at the first `=`, `:` or blank that no backslash precedes. `None`: a malformed `\u`.
fn split(logical: &str, line: u32) -> Option<Property> {
    let mut escaped = false;
    let end = logical.find(|c: char| {
        let ends = !escaped && (matches!(c, '=' | ':') || is_blank(c));
        escaped = !escaped && c == '\\';
        ends
    });
    let (key, value) = logical.split_at(end.unwrap_or(logical.len()));
    let value = value.trim_start_matches(is_blank);
    let value = match value.strip_prefix(['=', ':']) {
        Some(value) => value.trim_start_matches(is_blank),
        None => value,
    };
    Some(Property { key: trim(&unescape(key)?), value: trim(&unescape(value)?), line })
}

/// UTF-16 like Java, because two `\u` escapes may be one character.
fn unescape(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let c = match c {
            '\\' => match rest.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('f') => '\x0c',
                Some('r') => '\r',
                Some('u') => {
                    units.push(hex4(&mut rest)?);
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    Some(String::from_utf16_lossy(&units))
}

fn hex4(digits: &mut std::str::Chars<'_>) -> Option<u16> {
    (0..4).try_fold(0, |unit, _| Some(unit << 4 | digits.next()?.to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, u32)> {
        let properties = parse(text).expect("well-formed");
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
    fn a_file_is_iso_8859_1_and_a_text_is_not() {
        let value = |bytes: &[u8]| parse(&text_of(bytes)).unwrap().remove(0).value;
        assert_eq!(value(b"a=\xe4"), "ä");
        assert_eq!(value("a=ä".as_bytes()), "Ã¤");
        assert_eq!(one("a=ä😀"), ("a".into(), "ä😀".into()));
    }

    #[test]
    fn an_incomplete_unicode_escape_is_refused_with_its_line() {
        for text in ["x=1\na=\\u12", "x=1\na=\\u12g4", "x=1\n\\u=a", "x=1\na=\\u\\u00e4"] {
            assert_eq!(parse(text), Err(Malformed { line: 2 }), "{text:?}");
        }
    }
}
