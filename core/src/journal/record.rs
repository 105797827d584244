//! One record of a log file, and the header in front of them, as bytes (storage §2.2, §2.3). Writes only;
//! `scan` reads.

use crate::wire::{Txn, TxnHeader, Writer, encode_txn};

/// "ZKLG", the first four bytes of every log file.
pub(crate) const MAGIC: i32 = 0x5a4b_4c47;
/// Version of the format, in the header of every file and in the name of its directory.
pub(crate) const VERSION: i32 = 2;
/// Bytes before the first record.
pub(crate) const FILE_HEADER_LEN: usize = 16;
/// Checksum and length, in front of the payload.
pub(crate) const PREFIX_LEN: usize = 12;
/// What a record takes beside its payload: checksum, length and end mark.
pub(crate) const RECORD_OVERHEAD: usize = PREFIX_LEN + 1;
/// "B", the last byte of every record.
pub(crate) const END_MARK: u8 = 0x42;
/// Room for records is made in multiples of this, bytes, by Java as well (`preAllocSize` counts KiB).
pub(crate) const ROOM_UNIT: u64 = 1024;

/// Does a log of this length end with its last record? Not if it may have room left: Java adds that to the length of the
/// header, and later rounds to whole multiples.
pub(crate) const fn was_cut_to_fit(length: u64) -> bool {
    let header = FILE_HEADER_LEN as u64;
    !length.is_multiple_of(ROOM_UNIT) && length % ROOM_UNIT != header
}

/// Appends the header of a log file.
pub(crate) fn encode_file_header(out: &mut Vec<u8>) {
    let mut w = Writer::new(out);
    w.int(MAGIC);
    w.int(VERSION);
    w.long(0);
}

/// Appends one record, encoding the txn in place: the payload is what stands between the prefix and the end mark.
/// Returns the length of the payload, which [`Config::record_max`](crate::Config::record_max) must allow.
pub(crate) fn encode_record(
    header: &TxnHeader,
    txn: &Txn,
    digest: Option<u64>,
    out: &mut Vec<u8>,
) -> usize {
    enclose(out, |out| encode_txn(header, txn, digest, out))
}

/// Appends one record whose payload is there already: what a leader has sent is logged as it came.
pub(crate) fn encode_payload(payload: &[u8], out: &mut Vec<u8>) -> usize {
    enclose(out, |out| out.extend_from_slice(payload))
}

fn enclose(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_LEN]);
    put(out);
    let (_, payload) = out.split_at(start + PREFIX_LEN);
    let len = payload.len();
    let prefix = prefix_of(payload);
    let (_, record) = out.split_at_mut(start);
    if let Some(room) = record.first_chunk_mut::<PREFIX_LEN>() {
        *room = prefix;
    }
    out.push(END_MARK);
    len
}

fn prefix_of(payload: &[u8]) -> [u8; PREFIX_LEN] {
    let crc = u64::from(simd_adler32::adler32(&payload)).to_be_bytes();
    let len = (payload.len() as u32).to_be_bytes();
    let mut prefix = [0; PREFIX_LEN];
    let (left, right) = prefix.split_at_mut(crc.len());
    left.copy_from_slice(&crc);
    right.copy_from_slice(&len);
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{SessionId, Xid, Zxid};

    #[test]
    fn the_first_bytes_of_a_log_are_those_of_a_java_server() {
        // The worked example of storage §3.2.
        let header = TxnHeader {
            session: SessionId(0x0100_0013_3ce1_0000),
            cxid: Xid(0),
            zxid: Zxid(1),
            time_ms: 0x01a2_0395_7b2b,
        };
        let mut out = Vec::new();
        encode_file_header(&mut out);
        let len = encode_record(
            &header,
            &Txn::CreateSession { timeout_ms: 30_000 },
            Some(0x51c6_d660),
            &mut out,
        );
        let hex: String = out.iter().map(|b| format!("{b:02x}")).collect();
        let expected = "5a4b4c47000000020000000000000000\
             00000000b74609fb00000030\
             010000133ce10000000000000000000000000001000001a203957b2bfffffff6\
             000075300000000200000000 51c6d66042";
        assert_eq!(hex, expected.replace(' ', ""));
        assert_eq!(len, 48);
        assert_eq!(out.len(), FILE_HEADER_LEN + RECORD_OVERHEAD + len);
    }
}
