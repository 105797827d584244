//! What servers say to each other, in words.

use super::event::Message;
use super::words;
use crate::judge::Peer;
use zoetrope_core::wire::{
    ForwardedRequest, LearnerInfo, Packet, PacketKind, Reader, decode_ack_epoch,
    decode_notification, decode_packet, decode_txn,
};
use zoetrope_core::{ChanId, Link, Sid, Zxid};

/// Longer packets than a simulated server sends.
const PACKET_MAX: usize = 16 << 20;
/// How the tree behind a SNAP ends (quorum protocol §8.4).
const SIGNATURE: &[u8] = b"\0\0\0\x0aBenWasHere";

/// One direction of a link, seen from one end.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    from: ChanId,
    other: Sid,
    link: Link,
    number: u64,
    buf: Vec<u8>,
    /// Bytes of a tree that have passed; `None`: packets.
    tree: Option<usize>,
}

impl Stream {
    /// What this end of a link sends, and what it hears.
    pub(super) fn pair(peer: &Peer) -> (Self, Self) {
        let stream = |from| Self {
            from,
            other: peer.other,
            link: peer.link,
            number: 0,
            buf: Vec::new(),
            tree: None,
        };
        (stream(peer.chan), stream(peer.far))
    }

    /// The end of the link that hears or sends.
    pub(super) fn about(&self) -> (Sid, Link) {
        (self.other, self.link)
    }

    /// Takes bytes in and answers the messages that are whole.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.buf.extend_from_slice(bytes);
        let buf = std::mem::take(&mut self.buf);
        let (mut rest, mut messages) = (&buf[..], Vec::new());
        while let Some((message, len)) = match self.link {
            Link::Election => self.vote(rest),
            Link::Quorum | Link::ObserverMaster => self.packet(rest),
        } {
            messages.push(message);
            rest = &rest[len..];
        }
        self.buf = rest.to_vec();
        messages
    }

    fn message(&mut self, name: &'static str, zxid: Option<Zxid>, detail: String) -> Message {
        let number = self.number;
        self.number += 1;
        Message { from: self.from, number, other: self.other, link: self.link, name, zxid, detail }
    }

    fn vote(&mut self, bytes: &[u8]) -> Option<(Message, usize)> {
        let body = Reader::new(bytes).buffer().ok()??;
        let len = 4 + body.len();
        let Ok(vote) = decode_notification(body) else {
            return Some((self.message("VOTE", None, "which cannot be read".to_owned()), len));
        };
        let (state, epoch) = (vote.state, vote.epoch);
        let whom =
            if vote.leader == Sid::NOBODY { "nobody".to_owned() } else { vote.leader.to_string() };
        let detail = format!("for {whom} of epoch {epoch}, round {}, {state:?}", vote.round);
        Some((self.message("VOTE", Some(vote.zxid), detail), len))
    }

    fn packet(&mut self, bytes: &[u8]) -> Option<(Message, usize)> {
        if let Some(passed) = self.tree {
            let at = bytes.windows(SIGNATURE.len()).position(|window| window == SIGNATURE)?;
            self.tree = None;
            let len = at + SIGNATURE.len();
            return Some((self.message("TREE", None, format!("{} bytes", passed + len)), len));
        }
        let (packet, len) = decode_packet(bytes, PACKET_MAX).ok()??;
        self.tree = (packet.kind == PacketKind::Snap).then_some(0);
        let (name, detail) = (name_of(packet.kind), detail(&packet));
        // −1 where a packet is about no txn.
        let zxid = Some(packet.zxid).filter(|zxid| zxid.0 != -1);
        Some((self.message(name, zxid, detail), len))
    }
}

/// What the protocol calls it.
pub(super) fn name_of(kind: PacketKind) -> &'static str {
    match kind {
        PacketKind::Request => "REQUEST",
        PacketKind::Proposal => "PROPOSAL",
        PacketKind::Ack => "ACK",
        PacketKind::Commit => "COMMIT",
        PacketKind::Ping => "PING",
        PacketKind::Revalidate => "REVALIDATE",
        PacketKind::Sync => "SYNC",
        PacketKind::Inform => "INFORM",
        PacketKind::CommitAndActivate => "COMMITANDACTIVATE",
        PacketKind::NewLeader => "NEWLEADER",
        PacketKind::FollowerInfo => "FOLLOWERINFO",
        PacketKind::UpToDate => "UPTODATE",
        PacketKind::Diff => "DIFF",
        PacketKind::Trunc => "TRUNC",
        PacketKind::Snap => "SNAP",
        PacketKind::ObserverInfo => "OBSERVERINFO",
        PacketKind::LeaderInfo => "LEADERINFO",
        PacketKind::AckEpoch => "ACKEPOCH",
        PacketKind::InformAndActivate => "INFORMANDACTIVATE",
    }
}

fn detail(packet: &Packet<'_>) -> String {
    let data = packet.data.unwrap_or_default();
    match packet.kind {
        PacketKind::Proposal | PacketKind::Inform => decode_txn(data).map_or_else(
            |_| "a txn that cannot be read".to_owned(),
            |(header, txn, _)| {
                let what = words::txn(&txn);
                format!("{what} of session {} xid {}", header.session, header.cxid.0)
            },
        ),
        PacketKind::Request => ForwardedRequest::decode(data).map_or_else(
            |_| "which cannot be read".to_owned(),
            |r| {
                let what = words::operation(r.kind, &mut Reader::new(r.body));
                format!("{what} of session {} xid {}", r.session, r.xid.0)
            },
        ),
        PacketKind::AckEpoch => match decode_ack_epoch(data) {
            Ok(Some(epoch)) => format!("epoch {}", epoch.0),
            Ok(None) => "promised before".to_owned(),
            Err(_) => "which cannot be read".to_owned(),
        },
        PacketKind::FollowerInfo | PacketKind::ObserverInfo => LearnerInfo::decode(data)
            .map_or_else(|_| String::new(), |i| format!("server {}", i.sid)),
        _ if data.is_empty() => String::new(),
        _ => format!("{} bytes", data.len()),
    }
}
