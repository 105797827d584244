//! Logs that end in every way a log can end.

use super::record::{RECORD_OVERHEAD, encode_file_header, encode_payload, encode_record};
use super::scan::{Damage, Record, Scanner, Verdict};
use crate::ids::{SessionId, Xid, Zxid};
use crate::wire::{Txn, TxnHeader};
use std::sync::Arc;

const RECORD_MAX: u32 = 2_097_150;

fn set_data(zxid: i64, data: &[u8]) -> (TxnHeader, Txn) {
    let session = SessionId(0x0100_0013_3ce1_0000);
    let header = TxnHeader { session, cxid: Xid(1), zxid: Zxid(zxid), time_ms: 1_795_356_457_780 };
    let txn = Txn::SetData {
        path: "/a".into(),
        data: Some(Arc::from(data)),
        version: zxid as i32,
        reconfig: false,
    };
    (header, txn)
}

/// A log of records 1 to `count` with `size` bytes of data each, and the offset of each record and of the end.
fn log(count: i64, size: usize) -> (Vec<u8>, Vec<usize>) {
    log_of(&vec![size; count as usize])
}

/// A log of records with so many bytes of data.
fn log_of(sizes: &[usize]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = Vec::new();
    encode_file_header(&mut bytes);
    let mut starts = Vec::new();
    for (zxid, size) in (1..).zip(sizes) {
        starts.push(bytes.len());
        let (header, txn) = set_data(zxid, &vec![b'x'; *size]);
        encode_record(&header, &txn, Some(zxid as u64), &mut bytes);
    }
    starts.push(bytes.len());
    (bytes, starts)
}

fn scan_in(bytes: &[u8], chunk: usize, record_max: u32) -> (Vec<Record>, Verdict) {
    let mut scanner = Scanner::new(record_max, Zxid(0));
    let mut records = Vec::new();
    let mut chunks = bytes.chunks(chunk);
    loop {
        while let Some(record) = scanner.next() {
            records.push(record);
        }
        if let Some(verdict) = scanner.verdict() {
            // Holes have a test of their own.
            return match verdict {
                Verdict::Torn { at, dropped, .. } => (records, torn(at as usize, dropped)),
                verdict => (records, verdict),
            };
        }
        match chunks.next() {
            Some(chunk) => scanner.feed(chunk),
            None => scanner.end(),
        }
    }
}

fn scan(bytes: &[u8]) -> (usize, Verdict) {
    let (records, verdict) = scan_in(bytes, 1 << 20, RECORD_MAX);
    for chunk in [13, 512, 1000] {
        assert_eq!(scan_in(bytes, chunk, RECORD_MAX), (records.clone(), verdict), "{chunk}");
    }
    (records.len(), verdict)
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len() + 70_000, 0);
    bytes
}

fn torn(at: usize, dropped: u64) -> Verdict {
    Verdict::Torn { at: at as u64, dropped, hole: false }
}

fn damaged(at: usize, what: Damage) -> Verdict {
    Verdict::Damaged { at: at as u64, what }
}

#[test]
fn a_log_ends_cleanly_before_zeros_or_nothing() {
    let (bytes, starts) = log(3, 10);
    let end = starts[3] as u64;
    assert_eq!(scan(&bytes), (3, Verdict::Clean { end }));
    assert_eq!(scan(&padded(bytes.clone())), (3, Verdict::Clean { end }));
    for zeros in [1, 4, 11, 12, 13, 511] {
        let bytes = [bytes.clone(), vec![0; zeros]].concat();
        assert_eq!(scan(&bytes), (3, Verdict::Clean { end }), "{zeros}");
    }
    let header = log(0, 0).0;
    assert_eq!(scan(&header), (0, Verdict::Clean { end: 16 }));
    assert_eq!(scan(&padded(header)), (0, Verdict::Clean { end: 16 }));
}

#[test]
fn records_come_back_as_they_were_written() {
    let (bytes, starts) = log(3, 10);
    let (records, _) = scan_in(&bytes, 100, RECORD_MAX);
    for (n, record) in records.iter().enumerate() {
        let (header, txn) = set_data(n as i64 + 1, &[b'x'; 10]);
        let digest = Some(n as u64 + 1);
        assert_eq!(*record, Record { at: starts[n] as u64, header, txn, digest });
    }
}

#[test]
fn a_file_that_was_being_created_has_no_records() {
    let unborn = Verdict::Unborn;
    assert_eq!(scan(&[]), (0, unborn));
    assert_eq!(scan(&[0; 15]), (0, unborn));
    assert_eq!(scan(&log(0, 0).0[..7]), (0, unborn));
    assert_eq!(scan(&[0; 70_000]), (0, unborn));
    // A log gets its name when its header is durable: if there are records, the header was lost later.
    for lost in [16, 512] {
        let (mut bytes, _) = log(10, 200);
        bytes[..lost].fill(0);
        assert_eq!(scan(&bytes), (0, damaged(0, Damage::Magic(0))), "{lost}");
    }
    let (mut bytes, _) = log(1, 200);
    bytes[..4].copy_from_slice(b"ZKSN");
    assert_eq!(scan(&bytes), (0, damaged(0, Damage::Magic(0x5a4b_534e))));
    assert_eq!(scan(&bytes[..16]), (0, damaged(0, Damage::Magic(0x5a4b_534e))));
    assert_eq!(scan(&bytes[..15]), (0, unborn));
}

#[test]
fn a_record_cut_short_is_torn() {
    let (bytes, starts) = log(3, 1000);
    for cut in starts[2] + 1..starts[3] {
        // Before its ninth byte a record is zeros.
        let expected = match cut - starts[2] {
            ..=4 => Verdict::Clean { end: starts[2] as u64 },
            _ => torn(starts[2], 0),
        };
        let (records, verdict) = scan_in(&bytes[..cut], 1 << 20, RECORD_MAX);
        assert_eq!((records.len(), verdict), (2, expected), "{cut}");
        let zeroed = [&bytes[..cut], &vec![0; starts[3] - cut + 1000]].concat();
        let (records, verdict) = scan_in(&zeroed, 1 << 20, RECORD_MAX);
        assert_eq!((records.len(), verdict), (2, expected), "{cut}");
    }
}

#[test]
fn whole_records_behind_a_lost_sector_were_never_acknowledged() {
    let (bytes, starts) = log(20, 300);
    // Any subset of the sectors from the fifth record's on may have arrived; the one it starts in arrived with the
    // record before it, and is as it was then.
    let synced = starts[4];
    let first = synced / 512;
    let sectors = bytes.len().div_ceil(512);
    let mut lost_something = 0;
    for seed in 1..400u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut bytes = bytes.clone();
        let mut first_lost = None;
        for sector in first..sectors {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if random.is_multiple_of(5) {
                let from = (sector * 512).max(synced);
                let to = ((sector + 1) * 512).min(bytes.len());
                bytes[from..to].fill(0);
                first_lost.get_or_insert(from);
            }
        }
        let (records, verdict) = scan_in(&padded(bytes), 4096, RECORD_MAX);
        match first_lost {
            None => assert_eq!(verdict, Verdict::Clean { end: starts[20] as u64 }),
            Some(lost) => {
                let whole = starts.iter().filter(|start| **start <= lost).count() - 1;
                assert_eq!(records.len(), whole, "seed {seed}");
                let at = starts[whole] as u64;
                let clean_end = Verdict::Clean { end: at };
                let is_torn = matches!(verdict, Verdict::Torn { at: torn, .. } if torn == at);
                assert!(is_torn || verdict == clean_end, "seed {seed}: {verdict:?}");
                lost_something += 1;
            }
        }
    }
    assert!(lost_something > 300);
}

#[test]
fn dropped_records_are_counted() {
    let (mut bytes, starts) = log(20, 300);
    let hole = (starts[5].div_ceil(512) * 512)..(starts[5].div_ceil(512) * 512 + 512);
    bytes[hole].fill(0);
    let (records, verdict) = scan(&padded(bytes));
    assert_eq!(records, 5);
    assert!(matches!(verdict, Verdict::Torn { dropped: 12 | 13, .. }), "{verdict:?}");
}

/// Bytes of a record without its data.
const BARE: usize = 71;

#[test]
fn a_lost_sector_ends_where_a_whole_record_begins_with_zeros() {
    // The third record begins a few bytes before the end of a sector; those are zeros anyway.
    for third in 1020..1024 {
        let (mut bytes, starts) = log_of(&[600 - 16 - BARE, third - 600 - BARE, 50]);
        assert_eq!(starts, [16, 600, third, third + BARE + 50]);
        bytes[600..1024].fill(0);
        assert_eq!(scan(&padded(bytes)), (1, torn(600, 1)), "{third}");
    }
}

#[test]
fn zeros_beside_bytes_that_arrived_are_damage() {
    let (mut bytes, starts) = log_of(&[512 - 16 - BARE, 100, 50]);
    assert_eq!(starts[1], 512);
    bytes[512..starts[2]].fill(0);
    let what = Damage::Gap { whole_records_behind: 1 };
    assert_eq!(scan(&padded(bytes)), (1, damaged(512, what)));
}

#[test]
fn the_zeros_every_record_begins_with_prove_no_loss() {
    for before in 1..=4 {
        let start = 512 - before;
        let (mut bytes, starts) = log_of(&[start - 16 - BARE, 100]);
        assert_eq!(starts[1], start);
        bytes[start + 60] ^= 1;
        assert_eq!(scan(&padded(bytes)), (1, damaged(start, Damage::Checksum)), "{before}");
    }
}

#[test]
fn older_records_behind_the_end_are_rubbish() {
    let (mut bytes, starts) = log(3, 100);
    let old = bytes[starts[0]..starts[3]].to_vec();
    bytes.extend_from_slice(&[0xee; 40]);
    bytes.extend_from_slice(&old);
    assert_eq!(scan(&padded(bytes)), (3, torn(starts[3], 0)));
}

#[test]
fn a_wrong_byte_in_a_whole_record_is_damage_wherever_it_is() {
    let (bytes, starts) = log(3, 100);
    for record in [0, 1, 2] {
        let (start, end) = (starts[record], starts[record + 1]);
        for at in start..end {
            for bit in [0, 3, 7] {
                let mut bytes = padded(bytes.clone());
                bytes[at] ^= 1 << bit;
                let (records, verdict) = scan_in(&bytes, 1 << 20, RECORD_MAX);
                assert_eq!(records.len(), record);
                let is_damage =
                    matches!(verdict, Verdict::Damaged { at, .. } if at == start as u64);
                assert!(is_damage, "byte {} of record {record}: {verdict:?}", at - start);
            }
        }
    }
}

#[test]
fn damage_says_what_it_is_in_the_words_of_java() {
    let (bytes, starts) = log(2, 100);
    let verdict = |at: usize, field: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + field.len()].copy_from_slice(field);
        match scan(&padded(bytes)).1 {
            Verdict::Damaged { what, .. } => what.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let (first, last, end) = (starts[0], starts[1], starts[2]);
    assert_eq!(verdict(last + 60, b"?"), "CRC check failed");
    assert_eq!(verdict(0, b"ZKLH"), "the file has invalid magic number 1514884168 != 1514884167");
    assert_eq!(
        verdict(end - 1, b"C"),
        "the record ends in 0x43 instead of 0x42, though its checksum is right"
    );
    let says = (end - last - RECORD_OVERHEAD) as u32;
    assert_eq!(
        verdict(last + 8, &(says + 1).to_be_bytes()),
        format!(
            "the record's length says {}, but its checksum and its end fit {says} bytes",
            says + 1
        )
    );
    // Behind a damaged checksum nothing else tells the right length.
    let mut bytes = bytes.clone();
    bytes[first + 4..first + 12].copy_from_slice(&[1, 2, 3, 4, 0xff, 0xff, 0xff, 0xfe]);
    let mut bytes = padded(bytes);
    assert_eq!(scan(&bytes), (0, damaged(first, Damage::Length(-2))));
    bytes[first + 8..first + 12].fill(0);
    assert_eq!(scan(&bytes), (0, damaged(first, Damage::Gap { whole_records_behind: 1 })));
}

#[test]
fn a_right_checksum_over_nonsense_is_damage() {
    let (mut bytes, starts) = log(1, 10);
    let mut payload = bytes[starts[0] + 12..starts[1] - 1].to_vec();
    payload[28..32].copy_from_slice(&77i32.to_be_bytes());
    let mut append = |payload: &[u8]| {
        bytes.truncate(starts[1]);
        bytes.extend_from_slice(&u64::from(simd_adler32::adler32(&payload)).to_be_bytes());
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes.push(0x42);
        scan(&bytes)
    };
    assert_eq!(append(&payload), (1, damaged(starts[1], Damage::Kind(77))));
    assert_eq!(Damage::Kind(77).to_string(), "Unsupported Txn with type=77");
    let (_, verdict) = append(&payload[..20]);
    assert!(matches!(verdict, Verdict::Damaged { what: Damage::Body(_), .. }), "{verdict:?}");
}

#[test]
fn rubbish_behind_the_end_is_cut_off() {
    let (bytes, starts) = log(3, 100);
    let mut random = 88_172_645_463_325_252u64;
    for round in 0..200 {
        let mut rubbish = Vec::new();
        for _ in 0..(1 + round * 7) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            rubbish.push(random as u8);
        }
        let bytes = [bytes.clone(), rubbish, vec![0; 100]].concat();
        let (records, verdict) = scan_in(&bytes, 1 << 20, RECORD_MAX);
        assert_eq!((records.len(), verdict), (3, torn(starts[3], 0)), "round {round}");
    }
}

#[test]
fn a_record_may_be_as_long_as_the_limit_and_no_longer() {
    let (header, txn) = set_data(1, &[7; 1000]);
    let mut bytes = Vec::new();
    encode_file_header(&mut bytes);
    let len = encode_record(&header, &txn, None, &mut bytes) as u32;
    let (records, verdict) = scan_in(&bytes, 100, len);
    assert_eq!((records.len(), verdict), (1, Verdict::Clean { end: bytes.len() as u64 }));
    let (records, verdict) = scan_in(&bytes, 100, len - 1);
    assert_eq!((records.len(), verdict), (0, torn(16, 0)));
}

#[test]
fn memory_is_bounded_by_the_longest_record() {
    let mut scanner = Scanner::new(1000, Zxid(0));
    scanner.feed(&log(1, 10).0);
    let mut fed = 0;
    while fed < 1 << 20 {
        assert!(scanner.next().is_none() || fed == 0);
        scanner.feed(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1]);
        fed += 12;
        assert!(scanner.buffered() < 3000);
    }
}

/// What is plausible decides whether a bad checksum is damage or an interrupted write.
#[test]
fn a_header_is_plausible_if_its_zxid_could_come_next() {
    const STRIDE: i64 = 1 << 16;
    let reign = |epoch: i64, counter: i64| epoch << 32 | counter;
    let last = reign(3, 100);
    for (zxid, plausible) in [
        (last, true),
        (last - 1, false),
        (last + STRIDE, true),
        (last + STRIDE + 1, false),
        (reign(4, 0), true),
        (reign(4, STRIDE), true),
        (reign(4, STRIDE + 1), false),
        (reign(3 + STRIDE, 1), true),
        (reign(4 + STRIDE, 1), false),
        (reign(2, 1), false),
        (-1, false),
    ] {
        let mut bytes = Vec::new();
        encode_file_header(&mut bytes);
        let (header, txn) = set_data(zxid, b"x");
        encode_record(&header, &txn, None, &mut bytes);
        // No such type, so that the zxid alone decides.
        bytes[16 + 12 + 28..][..4].copy_from_slice(&77i32.to_be_bytes());
        let mut scanner = Scanner::new(RECORD_MAX, Zxid(last));
        scanner.feed(&bytes);
        scanner.end();
        assert!(scanner.next().is_none());
        let expected = if plausible { damaged(16, Damage::Checksum) } else { torn(16, 0) };
        assert_eq!(scanner.verdict(), Some(expected), "{zxid:#x}");
    }
}

#[test]
fn a_wrong_length_is_told_of_the_longest_record_too() {
    let (header, txn) = set_data(1, &[7; 1000]);
    let mut bytes = Vec::new();
    encode_file_header(&mut bytes);
    let fits = encode_record(&header, &txn, None, &mut bytes);
    let says = 100;
    bytes[16 + 8..16 + 12].copy_from_slice(&(says as u32).to_be_bytes());
    let (_, verdict) = scan_in(&bytes, 1 << 20, fits as u32);
    assert_eq!(verdict, damaged(16, Damage::WrongLength { says, fits }));
    let (_, verdict) = scan_in(&bytes, 1 << 20, fits as u32 - 1);
    assert_eq!(verdict, torn(16, 0), "no record may be that long");
}

/// Rule 2: the record's header and its end arrived, and a sector between them did not.
#[test]
fn a_record_that_lacks_a_sector_in_its_middle_is_torn() {
    let (mut bytes, starts) = log_of(&[100, 2000, 50]);
    let lost = starts[1].div_ceil(512) * 512 + 512;
    assert!(lost + 512 < starts[2]);
    bytes[lost..lost + 512].fill(0);
    assert_eq!(scan(&padded(bytes.clone())), (1, torn(starts[1], 1)));
    bytes.truncate(starts[2]);
    assert_eq!(scan(&padded(bytes)), (1, torn(starts[1], 0)));
}

/// Rule 3: it was whole once, so nothing that is missing around it excuses it.
#[test]
fn zeros_do_not_excuse_what_no_interrupted_write_looks_like() {
    let (bytes, starts) = log_of(&[100, 100]);
    let mut longer = bytes.clone();
    let fits = starts[2] - starts[1] - RECORD_OVERHEAD;
    let says = fits as i32 + 2000;
    longer[starts[1] + 8..][..4].copy_from_slice(&says.to_be_bytes());
    let what = Damage::WrongLength { says, fits };
    assert_eq!(scan(&padded(longer)), (1, damaged(starts[1], what)));
    let (header, txn) = set_data(3, &[0; 2000]);
    let mut marked = bytes;
    encode_record(&header, &txn, None, &mut marked);
    *marked.last_mut().unwrap() = b'C';
    assert_eq!(scan(&padded(marked)), (2, damaged(starts[2], Damage::EndMark(b'C'))));
}

#[test]
fn zeros_behind_a_record_say_nothing_about_it() {
    let (mut bytes, starts) = log_of(&[1024 - 16 - BARE]);
    assert_eq!(starts[1], 1024);
    bytes[200] ^= 1;
    assert_eq!(scan(&padded(bytes)), (0, damaged(16, Damage::Checksum)));
}

#[test]
fn a_whole_record_at_the_very_end_of_the_file_proves_what_was_before_it() {
    let (mut bytes, starts) = log_of(&[10, 10, 10]);
    bytes[starts[1]..starts[1] + 12].fill(0);
    let what = Damage::Gap { whole_records_behind: 1 };
    assert_eq!(scan(&bytes), (1, damaged(starts[1], what)));
}

/// Servers before 3.6 end a session by a header alone.
#[test]
fn the_shortest_record_there_can_be_is_a_record() {
    let (header, txn) = set_data(2, b"");
    let mut whole = Vec::new();
    encode_record(&header, &txn, None, &mut whole);
    let mut payload = whole[12..12 + 32].to_vec();
    payload[28..].copy_from_slice(&(-11i32).to_be_bytes());
    let (mut bytes, starts) = log(1, 100);
    encode_payload(&payload, &mut bytes);
    let end = bytes.len() as u64;
    assert_eq!(scan(&padded(bytes.clone())), (2, Verdict::Clean { end }));
    let mut alone = bytes.clone();
    alone[starts[0]..starts[0] + 12].fill(0);
    let what = Damage::Gap { whole_records_behind: 1 };
    assert_eq!(scan(&padded(alone)), (0, damaged(starts[0], what)));
    let says = 50i32;
    bytes[starts[1] + 8..][..4].copy_from_slice(&says.to_be_bytes());
    let what = Damage::WrongLength { says, fits: 32 };
    assert_eq!(scan(&padded(bytes)), (1, damaged(starts[1], what)));
}

#[test]
fn what_is_fed_behind_the_verdict_changes_and_costs_nothing() {
    let (mut bytes, starts) = log(2, 10);
    let kind = starts[1] + 12 + 28;
    bytes[kind..kind + 4].copy_from_slice(&77i32.to_be_bytes());
    let payload = bytes[starts[1] + 12..starts[2] - 1].to_vec();
    bytes.truncate(starts[1]);
    encode_payload(&payload, &mut bytes);
    let mut scanner = Scanner::new(RECORD_MAX, Zxid(0));
    scanner.feed(&bytes);
    assert!(scanner.next().is_some() && scanner.next().is_none());
    let verdict = Some(damaged(starts[1], Damage::Kind(77)));
    assert_eq!((scanner.verdict(), scanner.buffered()), (verdict, 0));
    scanner.feed(&bytes);
    assert!(scanner.next().is_none());
    assert_eq!((scanner.verdict(), scanner.last_zxid()), (verdict, Some(Zxid(1))));
}

#[test]
fn whole_records_are_found_however_the_file_comes_in() {
    let (mut bytes, starts) = log(20, 100);
    bytes[starts[2]..starts[2] + 12].fill(0);
    let what = Damage::Gap { whole_records_behind: 17 };
    // The tail is searched as it comes, because a record cannot be long.
    let record_max = (starts[1] - starts[0] - RECORD_OVERHEAD) as u32;
    for chunk in [1, 13, 100, 512, 1 << 20] {
        let (records, verdict) = scan_in(&padded(bytes.clone()), chunk, record_max);
        assert_eq!((records.len(), verdict), (2, damaged(starts[2], what)), "{chunk}");
    }
}

#[test]
fn a_checksum_that_fits_another_length_proves_nothing_without_an_end() {
    let (mut bytes, starts) = log(2, 100);
    bytes[starts[1] + 8..][..4].copy_from_slice(&50i32.to_be_bytes());
    bytes[starts[2] - 1] = 0;
    assert_eq!(scan(&padded(bytes)), (1, torn(starts[1], 0)));
}

#[test]
fn a_torn_tail_tells_a_hole_from_a_record_that_was_cut_short() {
    let hole_in = |bytes: &[u8]| {
        let mut scanner = Scanner::new(RECORD_MAX, Zxid(0));
        scanner.feed(bytes);
        scanner.end();
        while scanner.next().is_some() {}
        match scanner.verdict() {
            Some(Verdict::Torn { hole, .. }) => hole,
            verdict => panic!("{verdict:?}"),
        }
    };
    let (bytes, starts) = log(3, 1000);
    assert!(!hole_in(&bytes[..starts[3] - 1]));
    let mut lost = bytes.clone();
    lost[starts[3] / 512 * 512..].fill(0);
    assert!(hole_in(&lost), "the last sector");
    let mut lost = bytes;
    lost[1024..1536].fill(0);
    assert!(hole_in(&lost), "one in the middle");
}
