//! Running checksum of the tree, for comparing servers (storage §2.8). Pure.

use crate::ids::Zxid;
use crate::wire::StatPersisted;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// CRC-32 over path and data: the part of a node's digest that its Stat does not change. The root's path is `"/"` here
/// and empty in the sum.
pub(crate) fn crc_of_path_and_data(path: &str, data: Option<&[u8]>) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    if path != "/" {
        crc.update(path.as_bytes());
    }
    crc.update(data.unwrap_or_default());
    crc.finalize()
}

/// What a znode adds to the digest of the tree. Everything below `/zookeeper/` adds nothing.
pub(crate) fn node_digest(path: &str, crc: u32, stat: &StatPersisted) -> u64 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let mut bytes = [0u8; 60];
    let mut at = 0;
    let mut put = |field: &[u8]| {
        bytes[at..at + field.len()].copy_from_slice(field);
        at += field.len();
    };
    put(&stat.czxid.0.to_be_bytes());
    put(&stat.mzxid.0.to_be_bytes());
    put(&stat.pzxid.0.to_be_bytes());
    put(&stat.ctime.to_be_bytes());
    put(&stat.mtime.to_be_bytes());
    put(&stat.version.to_be_bytes());
    put(&stat.cversion.to_be_bytes());
    put(&stat.aversion.to_be_bytes());
    put(&stat.ephemeral_owner.to_be_bytes());
    // An initial value continues a finished CRC; the length only matters for combining.
    let mut hasher = crc32fast::Hasher::new_with_initial(crc);
    hasher.update(&bytes);
    u64::from(hasher.finalize())
}

/// The digests of some moments, for comparing servers that stand at different zxids (`hash`).
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(crate) struct DigestLog(VecDeque<(Zxid, u64)>);

impl DigestLog {
    /// Keeps the digest that holds after `zxid`, if this is one of the moments: every 128th zxid, and the last 1024.
    pub(crate) fn note(&mut self, zxid: Zxid, digest: u64) {
        if zxid.0 % 128 == 0 {
            self.0.push_back((zxid, digest));
            if self.0.len() > 1024 {
                self.0.pop_front();
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Zxid, u64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_a_java_server() {
        let empty = StatPersisted::default();
        let digest = |path, data: &[u8], stat: &StatPersisted| {
            node_digest(path, crc_of_path_and_data(path, Some(data)), stat)
        };
        assert_eq!(digest("/", b"", &empty), 68_323_592);
        assert_eq!(digest("/zookeeper", b"", &empty), 1_303_661_912);
        assert_eq!(digest("/zookeeper/quota", b"", &empty), 0);
        let time = 1_795_356_457_780;
        let app = StatPersisted {
            czxid: Zxid(2),
            mzxid: Zxid(2),
            pzxid: Zxid(2),
            ctime: time,
            mtime: time,
            ..empty
        };
        assert_eq!(digest("/app", b"hello", &app), 1_781_754_365);
        let root = StatPersisted { cversion: 1, pzxid: Zxid(2), ..empty };
        assert_eq!(digest("/", b"", &root), 51_738_866);
    }

    #[test]
    fn the_log_keeps_the_last_1024_of_the_moments_it_notes() {
        let mut log = DigestLog::default();
        for zxid in 1..=128 * 1030 {
            log.note(Zxid(zxid), zxid as u64);
        }
        let noted: Vec<_> = log.iter().collect();
        let moment = |n: i64| (Zxid(128 * n), 128 * n as u64);
        assert_eq!((noted.len(), noted[0], noted[1023]), (1024, moment(7), moment(1030)));
    }
}
