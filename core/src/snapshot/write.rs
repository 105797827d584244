//! Writing a snapshot. Every byte goes through a checksum that is never reset, so the bytes must reach the file in
//! the order in which they were made.

use super::{DIGEST_VERSION, END, MAGIC, SIGNATURE, VERSION};
use crate::ids::{SessionId, Zxid};
use crate::wire::{Acl, StatPersisted, Writer, encode_acl_vector};
use serde::{Deserialize, Serialize};
use simd_adler32::Adler32;

/// A snapshot under way.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SnapshotWriter {
    #[serde(with = "crate::flight::adler")]
    sum: Adler32,
}

impl std::fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotWriter").field("sum", &self.sum.clone().finish()).finish()
    }
}

impl SnapshotWriter {
    /// Starts a snapshot: appends the header, the sessions with their timeouts, and the ACLs by number.
    pub(crate) fn begin<'a>(
        sessions: impl ExactSizeIterator<Item = (SessionId, i32)>,
        acls: impl ExactSizeIterator<Item = (i64, &'a [Acl])>,
        out: &mut Vec<u8>,
    ) -> Self {
        let mut this = Self { sum: Adler32::new() };
        this.append(out, |w| {
            w.int(MAGIC);
            w.int(VERSION);
            w.long(-1);
        });
        this.tables(sessions, acls, out);
        this
    }

    /// Starts a snapshot for a learner, which has no header and no checksums (quorum protocol §8.4).
    pub(crate) fn begin_stream<'a>(
        sessions: impl ExactSizeIterator<Item = (SessionId, i32)>,
        acls: impl ExactSizeIterator<Item = (i64, &'a [Acl])>,
        out: &mut Vec<u8>,
    ) -> Self {
        let mut this = Self { sum: Adler32::new() };
        this.tables(sessions, acls, out);
        this
    }

    /// Appends the end of a learner's snapshot.
    pub(crate) fn end_stream(mut self, out: &mut Vec<u8>) {
        self.append(out, |w| {
            w.string(END);
            w.string(SIGNATURE);
        });
    }

    fn tables<'a>(
        &mut self,
        sessions: impl ExactSizeIterator<Item = (SessionId, i32)>,
        acls: impl ExactSizeIterator<Item = (i64, &'a [Acl])>,
        out: &mut Vec<u8>,
    ) {
        self.append(out, |w| {
            w.count(sessions.len());
            for (id, timeout_ms) in sessions {
                w.long(id.0);
                w.int(timeout_ms);
            }
            w.count(acls.len());
            for (id, list) in acls {
                w.long(id);
                encode_acl_vector(list, w);
            }
        });
    }

    /// Appends a znode; parents come before their children, the root is `""`. `acl` is a number of the table, or
    /// −1 for open to the world.
    pub(crate) fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
        out: &mut Vec<u8>,
    ) {
        self.append(out, |w| {
            w.string(path);
            w.buffer(data);
            w.long(acl);
            stat.encode(w);
        });
    }

    /// Appends the end: the digest of the tree with the zxid it belongs to, and the highest zxid whose effects
    /// are in the file. Java 3.6 to 3.9 read it with their default settings (storage §2.9).
    pub(crate) fn end(mut self, digest: (Zxid, u64), last_zxid: Zxid, out: &mut Vec<u8>) {
        self.append(out, |w| w.string(END));
        self.seal(out);
        self.append(out, |w| {
            w.long(digest.0.0);
            w.int(DIGEST_VERSION);
            w.long(digest.1 as i64);
        });
        self.seal(out);
        self.append(out, |w| w.long(last_zxid.0));
        self.seal(out);
    }

    fn seal(&mut self, out: &mut Vec<u8>) {
        let sum = i64::from(self.sum.clone().finish());
        self.append(out, |w| {
            w.long(sum);
            w.string(END);
        });
    }

    fn append(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Writer<'_>)) {
        let start = out.len();
        write(&mut Writer::new(out));
        self.sum.write(out.get(start..).unwrap_or_default());
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::wire::Perms;

    /// The snapshot of an empty tree.
    pub(in crate::snapshot) fn empty_tree() -> Vec<u8> {
        let read = [Acl::world(Perms::READ)];
        let zero = StatPersisted::default();
        let config = StatPersisted { aversion: -1, ..zero };
        let mut out = Vec::new();
        let mut w = SnapshotWriter::begin([].into_iter(), [(1, &read[..])].into_iter(), &mut out);
        w.node("", Some(b""), -1, &zero, &mut out);
        w.node("/zookeeper", Some(b""), -1, &zero, &mut out);
        w.node("/zookeeper/config", Some(b""), 1, &config, &mut out);
        w.node("/zookeeper/quota", Some(b""), -1, &zero, &mut out);
        w.end((Zxid(0), 0), Zxid(0), &mut out);
        out
    }

    #[test]
    fn an_empty_tree_is_written_as_java_writes_it() {
        // The worked example of storage §3.1.
        let bytes = empty_tree();
        let hex = |range: std::ops::Range<usize>| -> String {
            bytes[range].iter().map(|b| format!("{b:02x}")).collect()
        };
        assert_eq!(bytes.len(), 0x1de);
        assert_eq!(hex(0..0x18), "5a4b534e00000002ffffffffffffffff0000000000000001");
        assert_eq!(
            hex(0x18..0x3b),
            "0000000000000001000000010000000100000005776f726c6400000006616e796f6e65"
        );
        assert_eq!(hex(0x3b..0x4b), "0000000000000000ffffffffffffffff");
        assert_eq!(hex(0x126..0x12a), "ffffffff");
        assert_eq!(hex(0x196..0x1a8), "000000012f00000000b8a23b49000000012f");
        assert_eq!(hex(0x1a8..0x1bc), "0000000000000000000000020000000000000000");
        assert_eq!(hex(0x1bc..0x1c9), "0000000095b93d59000000012f");
        assert_eq!(hex(0x1c9..0x1de), "000000000000000000000000bde83f6d000000012f");
    }
}
