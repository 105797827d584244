//! How Java reads a value: booleans and integers, of keys it parses itself and of system properties.

use std::num::IntErrorKind;

/// A key as it was written, with its value.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The key.
    pub key: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// What is wrong with a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The server does not start.
    Error(String),
    /// Java would go on silently; so do we, with a warning. `--strict` and `config check` refuse it.
    Mistake(String),
    /// Worth a line, but not wrong.
    Warning(String),
    /// Worth a line for who asks.
    Note(String),
}

impl<'a> Given<'a> {
    /// A boolean of a key that Java parses itself.
    pub fn boolean(&self) -> Result<bool, Fault> {
        match self.value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Fault::Error(format!(
                "Invalid option {} for {}. Choose 'true' or 'false.'",
                self.value, self.key
            ))),
        }
    }

    /// A boolean of a system property: whatever is not `true` is false.
    pub fn flag(&self) -> bool {
        self.value.eq_ignore_ascii_case("true")
    }

    /// A decimal integer of a key that Java parses itself.
    pub fn integer(&self) -> Result<i32, Fault> {
        self.value.parse().map_err(|_| {
            Fault::Error(format!("For input string: \"{}\" (an integer is needed)", self.value))
        })
    }

    /// An integer of a system property: decimal, `0x` or `#` hex, a leading 0 is octal.
    pub fn number(&self) -> Result<i64, Fault> {
        decode(self.value).ok_or_else(|| {
            Fault::Mistake(format!(
                "{:?} is no integer: the default is used, as Java does without a word",
                self.value
            ))
        })
    }

    /// The same, in the range of an unsigned 32-bit field.
    pub fn natural(&self) -> Result<u32, Fault> {
        let number = self.number()?;
        u32::try_from(number)
            .map_err(|_| Fault::Mistake(format!("{number} is out of range: the default is used")))
    }

    /// Bytes, for our own keys: decimal with an optional `k`, `m` or `g` (powers of 1024).
    pub fn bytes(&self) -> Result<u64, Fault> {
        let lower = self.value.to_ascii_lowercase();
        let (digits, shift) = match lower.as_bytes().last() {
            Some(b'k') => (&lower[..lower.len() - 1], 10),
            Some(b'm') => (&lower[..lower.len() - 1], 20),
            Some(b'g') => (&lower[..lower.len() - 1], 30),
            _ => (lower.as_str(), 0),
        };
        let bytes = digits.trim_end().parse::<u64>().ok();
        bytes.and_then(|bytes| bytes.checked_mul(1 << shift)).ok_or_else(|| {
            Fault::Error(format!("{:?} is no number of bytes, like 4194304 or 4m", self.value))
        })
    }

    /// The parts between commas, without empty ones.
    pub fn list(&self) -> Vec<String> {
        let parts = self.value.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }
}

/// Java's `Long.decode`.
fn decode(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hex = ["0x", "0X", "#"].iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (digits, radix) = match hex {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    match i64::from_str_radix(digits, radix) {
        Ok(number) => Some(if negative { -number } else { number }),
        // The smallest number has no positive twin.
        Err(error) if negative && *error.kind() == IntErrorKind::PosOverflow => {
            i64::from_str_radix(&format!("-{digits}"), radix).ok()
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(value: &str) -> Given<'_> {
        Given { key: "k", value }
    }

    #[test]
    fn property_integers_are_read_like_java_decode() {
        for (text, number) in [
            ("10", Some(10)),
            ("-10", Some(-10)),
            ("+10", Some(10)),
            ("0", Some(0)),
            ("010", Some(8)),
            ("-010", Some(-8)),
            ("0x10", Some(16)),
            ("0XfF", Some(255)),
            ("#10", Some(16)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("09", None),
            ("1k", None),
            ("", None),
            ("-", None),
            ("0x", None),
            ("0x-1", None),
            ("--1", None),
            ("1 0", None),
        ] {
            assert_eq!(decode(text), number, "{text}");
        }
    }

    #[test]
    fn a_property_that_is_no_integer_is_a_mistake_and_not_an_error() {
        assert!(matches!(given("ten").number(), Err(Fault::Mistake(_))));
        assert!(matches!(given("-1").natural(), Err(Fault::Mistake(_))));
        assert_eq!(given("0x20").natural(), Ok(32));
    }

    #[test]
    fn integers_of_the_file_itself_are_decimal_or_an_error() {
        assert_eq!(given("2000").integer(), Ok(2000));
        assert_eq!(given("-1").integer(), Ok(-1));
        assert_eq!(given("010").integer(), Ok(10));
        for wrong in ["0x10", "two", "", "2147483648", "1.5"] {
            assert!(matches!(given(wrong).integer(), Err(Fault::Error(_))), "{wrong}");
        }
    }

    #[test]
    fn booleans_are_strict_or_not_like_their_kind_of_key() {
        assert_eq!(given("TRUE").boolean(), Ok(true));
        assert_eq!(given("False").boolean(), Ok(false));
        assert_eq!(
            given("yes").boolean(),
            Err(Fault::Error("Invalid option yes for k. Choose 'true' or 'false.'".into()))
        );
        assert!(given("True").flag());
        assert!(!given("yes").flag());
    }

    #[test]
    fn our_own_sizes_take_a_suffix() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("4k", 4096), ("2M", 2 << 20), ("1 g", 1 << 30)]
        {
            assert_eq!(given(text).bytes(), Ok(bytes), "{text}");
        }
        for wrong in ["", "k", "-1", "4kb", "99999999999999999999", "99999999999999g"] {
            assert!(matches!(given(wrong).bytes(), Err(Fault::Error(_))), "{wrong}");
        }
    }
}
