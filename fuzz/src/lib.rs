//! One function per decoder: it takes any bytes and must come back. A value that was decoded must be written and
//! read back the same; a server that started must start again on what it wrote. `tests/bounded.rs` runs all of them
//! for a bounded time, `fuzz_targets` hands them to libFuzzer.

mod bench;
mod mutate;
mod peers;

pub use bench::{Bench, Files};
pub use mutate::{Mutator, Random};
pub use peers::{ensemble_text, forwarded_request, hello, notification, quorum_packets};

use zoetrope_core::wire::{
    ConnectRequest, ConnectResponse, OpCode, Reader, Request, RequestHeader, Txn,
    decode_acl_vector, decode_txn, encode_txn,
};
use zoetrope_core::{SessionId, Xid, Zxid};
use zoetrope_server::check;
use zoetrope_server::config_file::{Sources, load};

/// A client's frame behind the handshake: header, then the body its number names.
pub fn client_frame(data: &[u8]) {
    let mut r = Reader::new(data);
    let Ok(header) = RequestHeader::decode(&mut r) else { return };
    if let Some(op) = OpCode::from_number(header.kind) {
        request(op, r);
    }
}

/// Every request body: the first byte is the number of the operation.
pub fn request_body(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    if let Some(op) = OpCode::from_number(i32::from(first.cast_signed())) {
        request(op, Reader::new(body));
    }
}

fn request(op: OpCode, mut r: Reader<'_>) {
    let Ok(request) = Request::decode(op, &mut r) else { return };
    // These two have a form of their own for what is wrong with them, which nobody sends.
    if matches!(request, Request::MultiReadOfWrites | Request::Reconfig) {
        return;
    }
    let mut bytes = Vec::new();
    request.encode(Xid(7), &mut bytes);
    let mut r = Reader::new(&bytes[4..]);
    let header = RequestHeader::decode(&mut r).expect("it was just written");
    assert_eq!(header.xid, Xid(7));
    let op = OpCode::from_number(header.kind).expect("it was just written");
    assert_eq!(Request::decode(op, &mut r), Ok(request));
}

/// The first frame of a client, and the first of a server.
pub fn connect_request(data: &[u8]) {
    if let Ok(request) = ConnectRequest::decode(data) {
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        assert_eq!(ConnectRequest::decode(&bytes[4..]), Ok(request));
    }
    let _ = ConnectResponse::decode(data);
}

/// A stored ACL.
pub fn acl_vector(data: &[u8]) {
    let _ = decode_acl_vector(&mut Reader::new(data));
}

/// The payload of a log record.
pub fn log_payload(data: &[u8]) {
    let Ok((header, txn, digest)) = decode_txn(data) else { return };
    // Two paths of no length and no digest are the same bytes as no list and a digest of zero. No path is empty.
    if matches!(&txn, Txn::CloseSession { paths: Some(all) } if all.iter().all(|p| p.is_empty())) {
        return;
    }
    let mut bytes = Vec::new();
    encode_txn(&header, &txn, digest, &mut bytes);
    let digest = digest.filter(|_| txn.has_digest());
    let (again_header, again_txn, again_digest) = decode_txn(&bytes).expect("it was just written");
    assert_eq!((again_header, again_digest), (header, digest));
    // Old forms are written as the present ones, which is the same from the second time on.
    let mut again = Vec::new();
    encode_txn(&header, &again_txn, digest, &mut again);
    assert_eq!(again, bytes);
}

/// A log file as it is found, behind the snapshot of an empty tree.
pub fn log_file(data: &[u8]) {
    let snapshot = bench::empty_snapshot();
    starts_or_says_why([("snapshot.0".into(), snapshot), ("log.1".into(), data.into())].into());
}

/// Two log files, cut out of the data: the end of the first one is in the middle of the log.
pub fn two_log_files(data: &[u8]) {
    let Some((first, rest)) = data.split_first_chunk::<2>() else { return };
    let cut = usize::from(u16::from_be_bytes(*first)).min(rest.len());
    let (one, two) = rest.split_at(cut);
    let files = [
        ("snapshot.0".into(), bench::empty_snapshot()),
        ("log.1".into(), one.into()),
        ("log.9".into(), two.into()),
    ];
    starts_or_says_why(files.into());
}

/// A log file of whole records whose payloads are in the data, each behind its length in two bytes.
pub fn log_records(data: &[u8]) {
    let mut file = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    let mut rest = data;
    while let Some((len, behind)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(behind.len());
        let (payload, behind) = behind.split_at(len);
        file.extend_from_slice(&u64::from(adler2::adler32_slice(payload)).to_be_bytes());
        file.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        file.extend_from_slice(payload);
        file.push(b'B');
        rest = behind;
    }
    log_file(&file);
}

/// A snapshot as it is found, and no log.
pub fn snapshot_file(data: &[u8]) {
    starts_or_says_why([("snapshot.7".into(), data.into())].into());
}

/// A snapshot whose checksums are right, whatever it holds.
pub fn snapshot_body(data: &[u8]) {
    let mut bytes = data.to_vec();
    let seal = |bytes: &mut Vec<u8>| {
        let sum = u64::from(adler2::adler32_slice(bytes));
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes.extend_from_slice(b"\0\0\0\x01/");
    };
    bytes.extend_from_slice(b"\0\0\0\x01/");
    seal(&mut bytes);
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
    seal(&mut bytes);
    bytes.extend_from_slice(&9u64.to_be_bytes());
    seal(&mut bytes);
    snapshot_file(&bytes);
}

/// A client's side of a connection: frames, each behind its length in one byte. Bytes from outside must never stop
/// the server.
pub fn connection(data: &[u8]) {
    let mut bench = Bench::start(Files::new());
    assert_eq!(bench.halted, None);
    let mut rest = data;
    let mut frames = Vec::new();
    if data.first().is_none_or(|first| first % 8 != 0) {
        let request = ConnectRequest {
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session: SessionId::NONE,
            password: &[0; 16],
            read_only: None,
        };
        request.encode(&mut frames);
    }
    while let Some((len, behind)) = rest.split_first() {
        let (frame, behind) = behind.split_at(usize::from(*len).min(behind.len()));
        frames.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        frames.extend_from_slice(frame);
        rest = behind;
    }
    bench.send(&frames);
    assert_eq!(bench.halted, None);
    let before = bench.facts();
    let again = Bench::start(bench.files);
    assert_eq!(again.halted, None);
    assert_eq!(again.facts(), before);
}

/// A zoo.cfg, and the same bytes as the dynamic configuration it may name.
pub fn zoo_cfg(data: &[u8]) {
    let file = Some(("zoo.cfg".into(), data.to_vec()));
    let sources = Sources { file, ..Sources::default() };
    let loaded = load(&sources, &|_| Ok(data.to_vec()));
    let mut report = Vec::new();
    let accepted = check::report(&loaded, &mut report).expect("memory takes everything");
    assert_eq!(accepted, loaded.refuses(true).next().is_none());
    assert!(loaded.findings.iter().all(|finding| !finding.to_string().is_empty()));
}

/// Recovery ends, and when it ends well the next one ends the same: what was cut off stays cut off.
fn starts_or_says_why(files: Files) {
    let bench = Bench::start(files.clone());
    match &bench.halted {
        Some(why) => {
            assert!(why.len() > 20, "{why}");
            assert!(bench.files == files, "a refused data directory was changed: {why}");
        }
        None => {
            let facts = bench.facts();
            let again = Bench::start(bench.files);
            assert_eq!(again.halted, None);
            assert_eq!(again.facts(), facts);
        }
    }
}
