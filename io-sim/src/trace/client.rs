//! What clients and servers say to each other, in words.

use super::event::Frame;
use super::words;
use std::collections::BTreeMap;
use zoetrope_core::wire::{
    ConnectRequest, ConnectResponse, ErrorCode, EventType, Reader, RequestHeader,
};
use zoetrope_core::{ConnId, Zxid};

/// Where a frame is seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Side {
    Asks,
    Takes,
    Answers,
    Gets,
}

/// How many frames each connection has had.
#[derive(Clone, Default, Debug)]
pub(super) struct Frames {
    seen: BTreeMap<(ConnId, Side), u64>,
    /// Bytes that are no whole frame yet.
    partial: BTreeMap<(ConnId, Side), Vec<u8>>,
}

impl Frames {
    /// Whole frames of a stream, in words.
    pub(super) fn stream(&mut self, conn: ConnId, side: Side, bytes: &[u8]) -> Vec<Frame> {
        let mut all = self.partial.remove(&(conn, side)).unwrap_or_default();
        all.extend_from_slice(bytes);
        let (mut r, mut left, mut found) = (Reader::new(&all), all.len(), Vec::new());
        while let Ok(Some(frame)) = r.buffer() {
            left = r.rest().len();
            found.push(self.frame(conn, side, frame));
        }
        if left > 0 {
            self.partial.insert((conn, side), all[all.len() - left..].to_vec());
        }
        found
    }

    /// One frame, without its length.
    pub(super) fn frame(&mut self, conn: ConnId, side: Side, bytes: &[u8]) -> Frame {
        let seen = self.seen.entry((conn, side)).or_default();
        let number = *seen;
        *seen += 1;
        let (xid, text) = match (side, number) {
            (Side::Asks | Side::Takes, 0) => (0, connect(bytes)),
            (Side::Answers | Side::Gets, 0) => (0, welcome(bytes)),
            (Side::Asks | Side::Takes, _) => request(bytes),
            (Side::Answers | Side::Gets, _) => reply(bytes),
        };
        Frame { conn, number, xid, text }
    }
}

fn connect(bytes: &[u8]) -> String {
    match ConnectRequest::decode(bytes) {
        Ok(c) if c.session.0 == 0 => format!("a session, please; seen {}", c.last_zxid_seen),
        Ok(c) => format!("session {} again, please; seen {}", c.session, c.last_zxid_seen),
        Err(_) => "a greeting that cannot be read".to_owned(),
    }
}

fn welcome(bytes: &[u8]) -> String {
    match ConnectResponse::decode(bytes) {
        Ok(r) if r.timeout_ms <= 0 => "no such session".to_owned(),
        Ok(r) if r.read_only == Some(true) => format!("session {}, read-only", r.session),
        Ok(r) => format!("session {}", r.session),
        Err(_) => "a welcome that cannot be read".to_owned(),
    }
}

fn request(bytes: &[u8]) -> (i32, String) {
    let mut r = Reader::new(bytes);
    let Ok(header) = RequestHeader::decode(&mut r) else {
        return (0, format!("{} bytes that are no request", bytes.len()));
    };
    let xid = header.xid.0;
    (xid, format!("xid {xid} {}", words::operation(header.kind, &mut r)))
}

fn reply(bytes: &[u8]) -> (i32, String) {
    let mut r = Reader::new(bytes);
    let (Ok(xid), Ok(zxid), Ok(err)) = (r.int(), r.long(), r.int()) else {
        return (0, format!("{} bytes that are no reply", bytes.len()));
    };
    if xid == -1
        && let (Ok(kind), Ok(_), Ok(Some(path))) = (r.int(), r.int(), r.string())
    {
        let kind =
            EventType::from_number(kind).map_or_else(|| kind.to_string(), |k| format!("{k:?}"));
        return (xid, format!("event {kind} {path} at {}", Zxid(zxid)));
    }
    let said = match (err, ErrorCode::from_number(err)) {
        (0, _) => "ok".to_owned(),
        (_, Some(code)) => format!("{code:?}"),
        (_, None) => format!("error {err}"),
    };
    (xid, format!("xid {xid} at {} {said}", Zxid(zxid)))
}
