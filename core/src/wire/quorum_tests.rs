//! Packets as Java 3.9.5 sent them (quorum protocol §16), and what nobody should send.

use super::*;
use crate::ids::{Epoch, SessionId, Sid, Xid, Zxid};

const MAX: usize = 2_097_150;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Decodes the whole of a vector, byte by byte and at once.
fn whole(bytes: &[u8]) -> Packet<'_> {
    for end in 0..bytes.len() {
        assert_eq!(decode_packet(&bytes[..end], MAX), Ok(None), "{end} bytes");
    }
    let (packet, len) = decode_packet(bytes, MAX).unwrap().expect("it is whole");
    assert_eq!(len, bytes.len());
    packet
}

/// Decodes a vector without identities, and writes it again.
fn vector(text: &str, kind: PacketKind, zxid: i64) -> Option<Vec<u8>> {
    let bytes = unhex(text);
    let packet = whole(&bytes);
    assert_eq!((packet.kind, packet.zxid), (kind, Zxid(zxid)));
    assert_eq!(packet.identities, None);
    let mut again = Vec::new();
    encode_packet(kind, Zxid(zxid), packet.data, &mut again);
    assert_eq!(hex(&again), hex(&bytes));
    packet.data.map(<[u8]>::to_vec)
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write(&mut out);
    Some(out)
}

#[test]
fn numbers_name_the_kinds_and_nothing_else_has_one() {
    let kinds: Vec<i32> =
        (-1..40).filter_map(PacketKind::from_number).map(PacketKind::number).collect();
    assert_eq!(kinds, (1..=19).collect::<Vec<_>>());
}

#[test]
fn the_greeting_is_javas() {
    use PacketKind::{AckEpoch, FollowerInfo, LeaderInfo};
    let data = vector(
        "0000000b 0000000000000000 00000014 0000000000000003 00010000 0000000000000000 ffffffff",
        FollowerInfo,
        0,
    );
    let info = LearnerInfo { sid: Sid(3), protocol_version: QUORUM_PROTOCOL, config_version: 0 };
    assert_eq!(LearnerInfo::decode(data.as_deref().unwrap()), Ok(info));
    assert_eq!(data, written(|out| info.encode(out)));

    let data = vector("00000011 0000000100000000 00000004 00010000 ffffffff", LeaderInfo, 1 << 32);
    assert_eq!(decode_leader_info(data.as_deref().unwrap()), Ok(QUORUM_PROTOCOL));
    assert_eq!(data, written(encode_leader_info));

    let data = vector("00000012 0000000000000000 00000004 00000000 ffffffff", AckEpoch, 0);
    assert_eq!(decode_ack_epoch(data.as_deref().unwrap()), Ok(Some(Epoch(0))));
    assert_eq!(data, written(|out| encode_ack_epoch(Some(Epoch(0)), out)));
    let none = written(|out| encode_ack_epoch(None, out)).unwrap();
    assert_eq!(hex(&none), "ffffffff");
    assert_eq!(decode_ack_epoch(&none), Ok(None));
    assert_eq!(decode_ack_epoch(&[0x80, 0, 0, 0]), Err(Malformed::Unknown(i32::MIN)));
}

#[test]
fn an_old_learner_says_less() {
    let info = unhex("0000000000000003 00010000 0000000000000007");
    let decoded = |len: usize| {
        LearnerInfo::decode(&info[..len]).map(|i| (i.sid.0, i.protocol_version, i.config_version))
    };
    for (len, expected) in [
        (8, (3, 1, 0)),
        (11, (3, 1, 0)),
        (12, (3, 65536, 0)),
        (19, (3, 65536, 0)),
        (20, (3, 65536, 7)),
    ] {
        assert_eq!(decoded(len), Ok(expected), "{len} bytes");
    }
    assert_eq!(decoded(7), Err(Malformed::Eof));
}

#[test]
fn packets_of_the_synchronisation_are_javas() {
    use PacketKind::{Ack, NewLeader, Snap, UpToDate};
    let epoch = 1_i64 << 32;
    assert_eq!(vector("0000000f 0000000100000000 ffffffff ffffffff", Snap, epoch), None);
    assert_eq!(vector("00000003 0000000500000000 ffffffff ffffffff", Ack, 5 * epoch), None);
    assert_eq!(vector("0000000c ffffffffffffffff ffffffff ffffffff", UpToDate, -1), None);
    let config: String = (1..=3)
        .map(|n| format!("server.{n}=127.0.0.1:228{n}:238{n}:participant\n"))
        .chain(["version=0".to_owned()])
        .collect();
    let text = hex(config.as_bytes());
    let data =
        vector(&format!("0000000a 0000000100000000 00000084 {text} ffffffff"), NewLeader, epoch);
    assert_eq!(data.as_deref(), Some(config.as_bytes()));
}

#[test]
fn pings_are_javas_in_both_directions() {
    use PacketKind::Ping;
    let ping = "00000005 0000000100000000 ffffffff ffffffff";
    assert_eq!(vector(ping, Ping, 1 << 32), None);
    let data = vector("00000005 0000000500000001 00000000 ffffffff", Ping, 0x5_0000_0001);
    assert_eq!(data.as_deref().map(decode_touches), Some(Ok(vec![])));
    let data = vector(
        "00000005 0000000500000003 0000000c 0100001ab3190000 00002710 ffffffff",
        Ping,
        0x5_0000_0003,
    );
    let touches = vec![(SessionId(0x0100_001a_b319_0000), 10_000)];
    assert_eq!(data, written(|out| encode_touches(&touches, out)));
    assert_eq!(decode_touches(&data.unwrap()), Ok(touches));
    assert_eq!(decode_touches(&[0; 25]), Err(Malformed::Eof));
}

#[test]
fn sessions_are_asked_for_like_javas() {
    use PacketKind::{Revalidate, Sync};
    let session = SessionId(0x0100_0023_3f6a_0000);
    let data = vector(
        "00000006 ffffffffffffffff 0000000c 010000233f6a0000 00002710 ffffffff",
        Revalidate,
        -1,
    );
    assert_eq!(data, written(|out| encode_revalidate(session, 10_000, out)));
    assert_eq!(decode_revalidate(&data.unwrap()), Ok((session, 10_000)));
    for valid in [false, true] {
        let data = written(|out| encode_revalidated(session, valid, out)).unwrap();
        assert_eq!(data.len(), 9);
        assert_eq!(decode_revalidated(&data), Ok((session, valid)));
    }
    assert_eq!(decode_revalidated(&[0; 8]), Err(Malformed::Eof));
    assert_eq!(vector("00000007 0000000000000000 ffffffff ffffffff", Sync, 0), None);
}

#[test]
fn forwarded_requests_are_javas() {
    let session = SessionId(0x0100_001a_b319_0000);
    let create_session = "00000001 ffffffffffffffff 00000014 0100001ab3190000 00000000 fffffff6 \
                          00002710 ffffffff";
    let create = "00000001 ffffffffffffffff 0000003b 0100001ab3190000 00000001 00000001 \
                  00000003 2f7a7a 00000001 31 00000001 0000001f 00000005 776f726c64 00000006 \
                  616e796f6e65 00000000 \
                  00000001 00000002 6970 00000009 3132372e302e302e31";
    let ip = [("ip", "127.0.0.1")];
    for (text, xid, op, identities) in [
        (create_session, 0, OpCode::CreateSession, None),
        (create, 1, OpCode::Create, Some(&ip[..])),
    ] {
        let bytes = unhex(text);
        let packet = whole(&bytes);
        assert_eq!((packet.kind, packet.zxid), (PacketKind::Request, Zxid(-1)));
        let request = ForwardedRequest::decode(packet.data.unwrap()).unwrap();
        assert_eq!((request.session, request.xid), (session, Xid(xid)));
        assert_eq!(request.op(), Some(op));
        let named = packet
            .identities
            .as_ref()
            .map(|all| all.iter().map(|(scheme, id)| (&**scheme, &**id)).collect::<Vec<_>>());
        assert_eq!(named.as_deref(), identities);
        let mut again = Vec::new();
        encode_request(&request, identities, &mut again);
        assert_eq!(hex(&again), hex(&bytes));
    }
    assert_eq!(ForwardedRequest::decode(&[0; 15]), Err(Malformed::Eof));
}

#[test]
fn txns_travel_as_they_are_logged() {
    use PacketKind::{Inform, Proposal};
    let create_session = "00000030 0100000e0e0d0000 00000000 0000000100000001 000001a2039b29a9 \
                          fffffff6 00002710 00000002 0000000051c6d660 ffffffff";
    let create = "0000005b 0100000e0e0d0000 00000001 0000000100000002 000001a2039b29c5 00000001 \
                  00000002 2f61 00000005 68656c6c6f 00000001 0000001f 00000005 776f726c64 00000006 \
                  616e796f6e65 00 00000001 00000002 00000001860a562e ffffffff";
    let error = "00000024 0100000e0e0d0000 00000007 0000000100000008 000001a2039b2a07 ffffffff \
                 fffffffa ffffffff";
    let multi = "0000009d 0100000e0e0d0000 0000000d 000000010000000e 000001a2039b2a2f 0000000e \
                 00000004 0000000d 0000000a 00000002 2f61 00000002 00000001 0000002c 00000003 2f6d31 \
                 00000001 64 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00 00000003 \
                 00000005 00000010 00000002 2f61 00000002 6d6d 00000002 00000002 00000007 00000003 \
                 2f6d31 00000002 00000003f24008f9 ffffffff";
    for (kind, counter, digest, text) in [
        (Proposal, 1, Some(0x51c6_d660), create_session),
        (Proposal, 2, Some(0x1_860a_562e), create),
        (Proposal, 8, None, error),
        (Proposal, 14, Some(0x3_f240_08f9), multi),
    ] {
        let zxid = 1 << 32 | counter;
        let data = vector(&format!("{:08x} {zxid:016x} {text}", kind.number()), kind, zxid);
        let (header, _, digest_of_txn) = decode_txn(data.as_deref().unwrap()).unwrap();
        assert_eq!((header.zxid, digest_of_txn), (Zxid(zxid), digest));
    }
    let inform = format!("00000008 0000000100000006 {create_session}");
    assert_eq!(vector(&inform, Inform, 0x1_0000_0006).map(|data| data.len()), Some(0x30));
}

#[test]
fn an_activation_names_who_shall_lead() {
    use PacketKind::CommitAndActivate;
    let text = "00000009 0000000100000003 00000008 0000000000000002 ffffffff";
    let data = vector(text, CommitAndActivate, 0x1_0000_0003);
    assert_eq!(data, written(|out| encode_designated_leader(Sid(2), out)));
    let data = [&data.unwrap()[..], b"txn"].concat();
    assert_eq!(decode_designated_leader(&data), Ok((Sid(2), &b"txn"[..])));
}

#[test]
fn what_follows_a_packet_is_left_alone() {
    let mut bytes = Vec::new();
    encode_packet(PacketKind::Commit, Zxid(7), None, &mut bytes);
    let len = bytes.len();
    encode_packet(PacketKind::Commit, Zxid(8), Some(b"x"), &mut bytes);
    let (first, taken) = decode_packet(&bytes, MAX).unwrap().unwrap();
    assert_eq!((first.zxid, taken), (Zxid(7), len));
    let (second, taken) = decode_packet(&bytes[len..], MAX).unwrap().unwrap();
    assert_eq!((second.zxid, second.data, taken), (Zxid(8), Some(&b"x"[..]), bytes.len() - len));
}

#[test]
fn what_is_unreasonable_is_said_as_soon_as_it_is_seen() {
    let ack = "00000003 0000000000000000";
    for (text, wrong) in [
        ("00000000".to_owned(), Malformed::Unknown(0)),
        ("00000014".to_owned(), Malformed::Unknown(20)),
        (format!("{ack} 00000009"), Malformed::Length(9)),
        (format!("{ack} fffffffe"), Malformed::Length(-2)),
        (format!("{ack} 00000008 0000000000000000 fffffffe"), Malformed::Length(-2)),
        (format!("{ack} ffffffff 00001001"), Malformed::Length(4097)),
        (format!("{ack} ffffffff 7fffffff"), Malformed::Length(i32::MAX)),
        (format!("{ack} ffffffff 00000001 ffffffff"), Malformed::Null),
        (format!("{ack} ffffffff 00000001 00000009"), Malformed::Length(9)),
        // Together they are as long as one may be.
        (format!("{ack} ffffffff 00000001 00000005 6162636465 00000004"), Malformed::Length(4)),
    ] {
        assert_eq!(decode_packet(&unhex(&text), 8), Err(wrong), "{text}");
    }
    let most = format!("{ack} ffffffff 00001000");
    assert_eq!(decode_packet(&unhex(&most), 8), Ok(None));
}
