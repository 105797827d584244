//! Quota texts and the paths they stand under (client protocol §3.10, storage §2.10). Changes no znode.

/// What `zookeeper_limits` or `zookeeper_stats` say; −1 is "not set".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    pub(crate) count: i64,
    pub(crate) bytes: i64,
    pub(crate) count_hard: i64,
    pub(crate) bytes_hard: i64,
}

impl Limits {
    /// Nothing is limited.
    pub(crate) const NONE: Self = Self { count: -1, bytes: -1, count_hard: -1, bytes_hard: -1 };

    /// Reads the text; an empty value is "not set". `None` for what Java cannot read either.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut limits = Self::NONE;
        let pairs = text.split(|b| matches!(b, b',' | b';')).filter(|pair| !pair.is_empty());
        for pair in pairs {
            let mut parts = pair.split(|b| *b == b'=');
            let (key, value) = (parts.next()?, std::str::from_utf8(parts.next()?).ok()?);
            let value = if value.is_empty() { -1 } else { value.parse().ok()? };
            match key {
                b"count" => limits.count = value,
                b"bytes" => limits.bytes = value,
                b"countHardLimit" => limits.count_hard = value,
                b"byteHardLimit" => limits.bytes_hard = value,
                _ => {}
            }
        }
        Some(limits)
    }
}

/// The text of a stats znode.
pub(crate) fn stats_text(count: i64, bytes: i64) -> String {
    format!("count={count},bytes={bytes}")
}

/// Where the limits of `path` stand.
pub(crate) fn limits_path(path: &str) -> String {
    format!("/zookeeper/quota{path}/zookeeper_limits")
}

/// Where the figures of `path` stand.
pub(crate) fn stats_path(path: &str) -> String {
    format!("/zookeeper/quota{path}/zookeeper_stats")
}

/// The path a znode below `/zookeeper/quota` speaks of, given that znode's parent.
pub(crate) fn quota_of_parent(parent: &str) -> Option<&str> {
    parent.strip_prefix("/zookeeper/quota").filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_java_reads_them() {
        let text = b"count=100,bytes=-1=;byteHardLimit=100000;countHardLimit=-1";
        let limits = Limits { count: 100, bytes: -1, count_hard: -1, bytes_hard: 100_000 };
        assert_eq!(Limits::parse(text), Some(limits));
        assert_eq!(Limits::parse(b""), Some(Limits::NONE));
        assert_eq!(Limits::parse(b"junk"), None);
        assert_eq!(quota_of_parent("/zookeeper/quota/a/b"), Some("/a/b"));
        assert_eq!(quota_of_parent("/zookeeper/quota"), None);
    }

    #[test]
    fn only_the_four_known_keys_mean_something() {
        let read = |text: &[u8]| Limits::parse(text);
        let all = Limits { count: 1, bytes: 2, count_hard: 3, bytes_hard: 4 };
        assert_eq!(read(b"count=1,bytes=2,countHardLimit=3;byteHardLimit=4"), Some(all));
        assert_eq!(read(b",;bytes=2;,"), Some(Limits { bytes: 2, ..Limits::NONE }));
        assert_eq!(read(b"count=,size=9"), Some(Limits::NONE));
        for unreadable in [&b"count"[..], b"count=x", b"count=1,bytes", b"count=\xff"] {
            assert_eq!(read(unreadable), None, "{unreadable:?}");
        }
        assert_eq!(
            read(stats_text(5, -6).as_bytes()).map(|it| (it.count, it.bytes)),
            Some((5, -6))
        );
    }
}
