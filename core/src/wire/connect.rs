//! Session handshake records (client protocol §1.4): the first frame of a connection and its answer. No headers.

use super::codec::{Malformed, Reader, Writer};
use super::reply::{begin_frame, end_frame};
use crate::ids::{SessionId, Zxid};

/// First frame of every connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectRequest<'a> {
    /// Highest zxid the client has seen.
    pub last_zxid_seen: Zxid,
    /// Requested session timeout, ms.
    pub timeout_ms: i32,
    /// Session to go on with, or [`SessionId::NONE`].
    pub session: SessionId,
    /// Proof of ownership; null counts as empty.
    pub password: &'a [u8],
    /// `None`: an old client that does not know read-only mode and must get an answer without that byte.
    pub read_only: Option<bool>,
}

impl<'a> ConnectRequest<'a> {
    /// Reads the payload of the frame.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let _protocol_version = r.int()?;
        Ok(Self {
            last_zxid_seen: Zxid(r.long()?),
            timeout_ms: r.int()?,
            session: SessionId(r.long()?),
            password: r.buffer()?.unwrap_or_default(),
            read_only: r.bool().ok(),
        })
    }

    /// Appends the whole frame, as a client sends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = begin_frame(out);
        let mut w = Writer::new(out);
        w.int(0);
        w.long(self.last_zxid_seen.0);
        w.int(self.timeout_ms);
        w.long(self.session.0);
        w.buffer(Some(self.password));
        if let Some(read_only) = self.read_only {
            w.bool(read_only);
        }
        end_frame(out, start);
    }
}

/// Answer to a [`ConnectRequest`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectResponse {
    /// Negotiated timeout, ms; 0 when refused.
    pub timeout_ms: i32,
    /// The session; none when refused.
    pub session: SessionId,
    /// Proof for the next connect; zeros when refused.
    pub password: [u8; 16],
    /// Present iff the request had it; true iff the server is read-only.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// Session unknown, expired or not proven. Three clients test three different fields, so all are zero.
    pub fn refused(read_only: Option<bool>) -> Self {
        Self { timeout_ms: 0, session: SessionId::NONE, password: [0; 16], read_only }
    }

    /// Appends the whole frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = begin_frame(out);
        let mut w = Writer::new(out);
        w.int(0);
        w.int(self.timeout_ms);
        w.long(self.session.0);
        w.buffer(Some(&self.password));
        if let Some(read_only) = self.read_only {
            w.bool(read_only);
        }
        end_frame(out, start);
    }

    /// Reads the payload of the frame, as a client does.
    pub fn decode(payload: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let _protocol_version = r.int()?;
        let timeout_ms = r.int()?;
        let session = SessionId(r.long()?);
        let password = r.buffer()?.ok_or(Malformed::Null)?;
        let password = password.try_into().map_err(|_| Malformed::Length(password.len() as i32))?;
        Ok(Self { timeout_ms, session, password, read_only: r.bool().ok() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_of_the_wire() {
        for (read_only, request_len, response_len) in [(None, 44, 36), (Some(false), 45, 37)] {
            let mut out = Vec::new();
            let request = ConnectRequest {
                last_zxid_seen: Zxid(7),
                timeout_ms: 10_000,
                session: SessionId(5),
                password: &[9; 16],
                read_only,
            };
            request.encode(&mut out);
            assert_eq!(out.len(), 4 + request_len);
            assert_eq!(ConnectRequest::decode(&out[4..]), Ok(request));
            let mut out = Vec::new();
            let response = ConnectResponse::refused(read_only);
            response.encode(&mut out);
            assert_eq!(out.len(), 4 + response_len);
            assert_eq!(ConnectResponse::decode(&out[4..]), Ok(response));
        }
    }
}
