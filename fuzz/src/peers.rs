//! What other servers may send.

use zoetrope_core::Ensemble;
use zoetrope_core::wire::{
    ForwardedRequest, LearnerInfo, Malformed, Packet, PacketKind, Reader, decode_ack_epoch,
    decode_designated_leader, decode_hello, decode_leader_info, decode_notification, decode_packet,
    decode_revalidate, decode_revalidated, decode_touches, encode_hello, encode_notification,
    encode_packet, encode_request, encode_touches,
};

use crate::{log_payload, request};

/// Bytes the data of a packet may have here: little, so that it is exceeded.
const PACKET_DATA_MAX: usize = 4096;

/// A stream of quorum packets. However it is cut, the same packets come out of it; and each is read back as it is
/// written.
pub fn quorum_packets(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((packet, len))) = decode_packet(rest, PACKET_DATA_MAX) {
        let (this, behind) = rest.split_at(len);
        for end in 0..len {
            assert_eq!(decode_packet(&this[..end], PACKET_DATA_MAX), Ok(None));
        }
        let alone = decode_packet(this, PACKET_DATA_MAX).expect("it was whole").expect("all of it");
        assert_eq!(alone, (packet.clone(), len));
        packet_again(&packet);
        packet_data(packet.kind, packet.data.unwrap_or_default());
        rest = behind;
    }
}

fn packet_again(packet: &Packet<'_>) {
    if packet.identities.is_some() {
        return;
    }
    let mut bytes = Vec::new();
    encode_packet(packet.kind, packet.zxid, packet.data, &mut bytes);
    let again = decode_packet(&bytes, PACKET_DATA_MAX);
    assert_eq!(again, Ok(Some((packet.clone(), bytes.len()))));
}

fn packet_data(kind: PacketKind, data: &[u8]) {
    use PacketKind as Kind;
    match kind {
        Kind::FollowerInfo | Kind::ObserverInfo => {
            let Ok(info) = LearnerInfo::decode(data) else { return };
            let mut bytes = Vec::new();
            info.encode(&mut bytes);
            assert_eq!(LearnerInfo::decode(&bytes), Ok(info));
        }
        Kind::Ping => {
            let Ok(touches) = decode_touches(data) else { return };
            let mut bytes = Vec::new();
            encode_touches(&touches, &mut bytes);
            assert_eq!(bytes, data);
        }
        Kind::Request => forwarded_request(data),
        Kind::Revalidate => {
            let _ = (decode_revalidate(data), decode_revalidated(data));
        }
        Kind::LeaderInfo => {
            let _ = decode_leader_info(data);
        }
        Kind::AckEpoch => {
            let _ = decode_ack_epoch(data);
        }
        Kind::CommitAndActivate | Kind::InformAndActivate => {
            if let Ok((_, txn)) = decode_designated_leader(data) {
                log_payload(txn);
            }
        }
        Kind::Proposal | Kind::Inform => log_payload(data),
        _ => {}
    }
}

/// The data of a REQUEST packet, and the request in it.
pub fn forwarded_request(data: &[u8]) {
    let Ok(forwarded) = ForwardedRequest::decode(data) else { return };
    let identities = [("ip", "127.0.0.1"), ("digest", "")];
    for identities in [None, Some(&[][..]), Some(&identities[..])] {
        let mut bytes = Vec::new();
        encode_request(&forwarded, identities, &mut bytes);
        let packet = decode_packet(&bytes, data.len().max(32)).expect("it was just written");
        let (packet, len) = packet.expect("it is whole");
        assert_eq!((len, packet.data), (bytes.len(), Some(data)));
        let count = packet.identities.map(|all| all.len());
        assert_eq!(count, identities.map(<[_]>::len));
    }
    if let Some(op) = forwarded.op() {
        request(op, Reader::new(forwarded.body));
    }
}

/// A notification behind its length.
pub fn notification(data: &[u8]) {
    let Ok(mut notification) = decode_notification(data) else { return };
    if let Some(config) = &notification.config {
        ensemble_text(config.as_bytes());
    }
    let mut bytes = Vec::new();
    encode_notification(&notification, &mut bytes);
    notification.version = 2;
    notification.config.get_or_insert_default();
    assert_eq!(decode_notification(&bytes[4..]), Ok(notification));
}

/// The first bytes of who opens an election link. Cut anywhere, they are not complete.
pub fn hello(data: &[u8]) {
    let Ok(Some((hello, len))) = decode_hello(data) else { return };
    for end in 0..len {
        assert_eq!(decode_hello(&data[..end]), Ok(None));
    }
    let mut bytes = Vec::new();
    encode_hello(hello.sid, &hello.addresses, &mut bytes);
    match hello.addresses.is_empty() {
        true => assert_eq!(decode_hello(&bytes), Err(Malformed::Length(0))),
        false => assert_eq!(decode_hello(&bytes), Ok(Some((hello, bytes.len())))),
    }
}

/// The configuration of an ensemble. What is accepted has one text; nobody is no quorum, and all are one unless nobody
/// has weight.
pub fn ensemble_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let ensemble = match Ensemble::parse(&text) {
        Ok(ensemble) => ensemble,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let canonical = ensemble.to_text();
    let again = Ensemble::parse(&canonical).expect("it was just written");
    assert_eq!(again.to_text(), canonical);
    assert_eq!(again, ensemble);
    assert!(!ensemble.has_quorum(|_| false));
    let weight: i64 = ensemble.voters().map(|sid| ensemble.weight(sid)).sum();
    assert_eq!(ensemble.has_quorum(|_| true), weight > 0);
}
