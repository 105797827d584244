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
    /// Reads the text; whatever cannot be read is "not set".
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut limits = Self { count: -1, bytes: -1, count_hard: -1, bytes_hard: -1 };
        for pair in text.split(|b| matches!(b, b',' | b';')) {
            let mut parts = pair.split(|b| *b == b'=');
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
            let value = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(-1);
            match key {
                b"count" => limits.count = value,
                b"bytes" => limits.bytes = value,
                b"countHardLimit" => limits.count_hard = value,
                b"byteHardLimit" => limits.bytes_hard = value,
                _ => {}
            }
        }
        limits
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
        assert_eq!(Limits::parse(text), limits);
        assert_eq!(Limits::parse(b"").count, -1);
        assert_eq!(quota_of_parent("/zookeeper/quota/a/b"), Some("/a/b"));
        assert_eq!(quota_of_parent("/zookeeper/quota"), None);
    }
}
