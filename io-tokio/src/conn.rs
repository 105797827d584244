//! One client's bytes: cut into whole frames on the way in, written out as far as the socket takes them. Decodes
//! lengths only.

use crate::planted::{Plant, planted};
use crate::sockets::TcpStream;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;
use tokio::io::{AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::Notify;

/// The writing side of a connection, and what its reading side must know.
#[derive(Debug)]
pub(crate) struct ConnIo {
    pub(crate) peer: SocketAddr,
    /// Taken away while a task waits for the socket to take more.
    pub(crate) writer: Option<WriteHalf<TcpStream>>,
    /// Replies the socket has not taken. Bounded by the core's output budget.
    pub(crate) backlog: Vec<u8>,
    /// Reply bytes the socket has taken.
    pub(crate) taken: u64,
    pub(crate) paused: bool,
    /// Nothing more will be answered; what has been is still sent.
    pub(crate) closing: bool,
    /// Rouses the reading side when `paused` or `closing` changed.
    pub(crate) changed: Rc<Notify>,
    /// Rouses the task that waits for the socket to take more: it shall not.
    pub(crate) stop: Rc<Notify>,
}

impl ConnIo {
    /// Nothing more is read or written, however much is left.
    pub(crate) fn end(self) {
        self.changed.notify_one();
        self.stop.notify_one();
    }

    /// Sends as much as the socket takes now; true when something is left.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<bool> {
        let Some(writer) = self.writer.as_mut().filter(|_| self.backlog.is_empty()) else {
            self.backlog.extend_from_slice(bytes);
            return Ok(true);
        };
        let mut left = bytes;
        let mut cx = std::task::Context::from_waker(futures::task::noop_waker_ref());
        while !left.is_empty() {
            match std::pin::Pin::new(&mut *writer).poll_write(&mut cx, left) {
                std::task::Poll::Ready(Ok(0)) => return Err(std::io::ErrorKind::WriteZero.into()),
                std::task::Poll::Ready(Ok(n)) => {
                    self.taken += n as u64;
                    left = if planted(Plant::ShortWrite) { &[] } else { &left[n..] };
                }
                std::task::Poll::Ready(Err(error)) => return Err(error),
                std::task::Poll::Pending => break,
            }
        }
        self.backlog.extend_from_slice(left);
        Ok(!left.is_empty())
    }
}

/// What the bytes received so far are.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Opening {
    /// Frames, as far as one can see.
    Frames,
    /// Fewer than four bytes.
    TooShort,
    /// A four-letter word.
    Word([u8; 4]),
    /// A browser or a probe.
    Http,
    /// A TLS handshake.
    Tls,
}

/// Looks at the first bytes of a connection. A word cannot be mistaken for a length: it would be far too long.
pub(crate) fn opening_of(bytes: &[u8], is_word: impl Fn([u8; 4]) -> bool) -> Opening {
    let Some(first) = bytes.first_chunk::<4>() else { return Opening::TooShort };
    match first {
        word if is_word(*word) => Opening::Word(*word),
        b"GET " | b"POST" | b"HEAD" | b"PUT " | b"OPTI" | b"DELE" | b"CONN" | b"TRAC" => {
            Opening::Http
        }
        [0x16, 0x03, ..] => Opening::Tls,
        _ => Opening::Frames,
    }
}

/// Told to whoever speaks HTTP here.
pub(crate) const HTTP_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Connection: close\r\nContent-Length: 102\r\n\r\n\
    This is the client port of a ZooKeeper server (Zoetrope). It speaks the ZooKeeper protocol, not HTTP.\n";

/// A fatal TLS alert, handshake_failure: what a TLS client understands at once.
pub(crate) const TLS_ANSWER: &[u8] = &[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28];

/// Bytes of whole frames at the front, and the length that is no length, if one comes next.
pub(crate) fn whole_frames(bytes: &[u8], allowed: RangeInclusive<i64>) -> (usize, Option<i32>) {
    let mut at = 0;
    while let Some(prefix) = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        let len = i32::from_be_bytes(*prefix);
        if !allowed.contains(&i64::from(len)) {
            return (at, Some(len));
        }
        let end = at + 4 + len as usize;
        if end > bytes.len() {
            break;
        }
        at = end;
    }
    (at, None)
}

/// Waits until the socket takes some of the bytes.
pub(crate) async fn write_some(
    writer: &mut WriteHalf<TcpStream>,
    piece: &[u8],
) -> std::io::Result<usize> {
    writer.write(piece).await
}

/// Sends the last bytes and ends the writing side, so that they arrive before the end does.
pub(crate) async fn finish_writing(mut writer: WriteHalf<TcpStream>, rest: Vec<u8>) {
    let farewell = async {
        if writer.write_all(&rest).await.is_ok() {
            let _ = writer.shutdown().await;
        }
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// How long a client that is let go may take to read its last reply.
pub(crate) const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(madsim))]
    #[tokio::test]
    async fn bytes_do_not_overtake_a_backlog() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let (_reader, writer) = tokio::io::split(TcpStream::connect(peer).await.unwrap());
        let mut conn = ConnIo {
            peer,
            writer: Some(writer),
            backlog: vec![1],
            taken: 0,
            paused: false,
            closing: false,
            changed: Rc::default(),
            stop: Rc::default(),
        };
        assert!(conn.send(&[2]).unwrap());
        assert_eq!((conn.backlog.as_slice(), conn.taken), (&[1, 2][..], 0));
    }

    #[test]
    fn frames_are_cut_whole() {
        let bytes = [0, 0, 0, 1, 9, 0, 0, 0, 2, 8, 8, 0, 0, 0, 3, 7];
        assert_eq!(whole_frames(&bytes, 0..=100), (11, None));
        assert_eq!(whole_frames(&bytes[..3], 0..=100), (0, None));
        assert_eq!(whole_frames(&bytes, 0..=1), (5, Some(2)));
        assert_eq!(whole_frames(&[0xff; 4], 0..=100), (0, Some(-1)));
        assert_eq!(whole_frames(&[0; 4], 1..=100), (0, Some(0)));
    }

    #[test]
    fn strangers_are_recognised() {
        let is_word = |word: [u8; 4]| &word == b"ruok";
        assert_eq!(opening_of(b"ruok\n", is_word), Opening::Word(*b"ruok"));
        assert_eq!(opening_of(b"GET / HTTP/1.1", is_word), Opening::Http);
        assert_eq!(opening_of(&[0x16, 3, 1, 2], is_word), Opening::Tls);
        assert_eq!(opening_of(&[0, 0, 0, 45], is_word), Opening::Frames);
        assert_eq!(opening_of(b"ru", is_word), Opening::TooShort);
        let text = std::str::from_utf8(HTTP_ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}\r", body.len()))
                || head.ends_with(&format!("Content-Length: {}", body.len()))
        );
    }
}
