//! What servers say on election links: the greeting of who connects (quorum protocol §3.1) and notifications (§4.1).
//! Knows no election.

use super::codec::{Malformed, Reader, Writer};
use super::reply::{begin_frame, end_frame};
use crate::ensemble::HostPort;
use crate::ids::{Sid, Zxid};
use serde::{Deserialize, Serialize};

/// Greeting with one address.
const HELLO_V1: i64 = -65536;
/// Greeting with several addresses.
const HELLO_V2: i64 = -65535;
/// Bytes of the addresses in a greeting, at most.
const HELLO_TEXT_MAX: usize = 2048;
/// The notification that carries a configuration.
const NOTIFICATION_VERSION: i32 = 2;
/// Bytes of the two forms of a notification that say less than the present one.
const SHORT_FORMS: [usize; 2] = [28, 40];

/// What the sender of a notification is doing (§1.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum PeerState {
    /// It has no leader and looks for one.
    Looking = 0,
    /// It follows its vote.
    Following = 1,
    /// It leads.
    Leading = 2,
    /// It follows its vote without having one itself.
    Observing = 3,
}

impl PeerState {
    /// The number on the wire.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The state of that number, if there is one.
    pub fn from_number(n: i32) -> Option<Self> {
        match n {
            0 => Some(Self::Looking),
            1 => Some(Self::Following),
            2 => Some(Self::Leading),
            3 => Some(Self::Observing),
            _ => None,
        }
    }
}

/// One notification: the sender's vote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notification {
    /// What the sender is doing.
    pub state: PeerState,
    /// Whom it votes for.
    pub leader: Sid,
    /// Last zxid of that candidate.
    pub zxid: Zxid,
    /// Round of elections the sender is in.
    pub round: i64,
    /// Current epoch of the candidate; `i64::MIN` from an observer that votes for nobody.
    pub epoch: i64,
    /// Version of the message; 0 for the old forms.
    pub version: i32,
    /// Text of the sender's committed configuration, from version 2 on. It may not parse; the vote counts anyway.
    pub config: Option<String>,
}

/// Reads a notification behind its length: all of it, or one of the two old forms that Java still takes.
pub fn decode_notification(body: &[u8]) -> Result<Notification, Malformed> {
    let mut r = Reader::new(body);
    let number = r.int()?;
    let mut notification = Notification {
        state: PeerState::from_number(number).ok_or(Malformed::Unknown(number))?,
        leader: Sid(r.long()?),
        zxid: Zxid(r.long()?),
        round: r.long()?,
        epoch: 0,
        version: 0,
        config: None,
    };
    let [least, without_config] = SHORT_FORMS;
    if body.len() == least {
        notification.epoch = notification.zxid.0 >> 32;
        return Ok(notification);
    }
    notification.epoch = r.long()?;
    let version = r.int()?;
    if body.len() == without_config {
        return Ok(notification);
    }
    notification.version = version;
    if version >= NOTIFICATION_VERSION {
        let text = r.buffer()?.ok_or(Malformed::Null)?;
        notification.config = Some(String::from_utf8_lossy(text).into_owned());
    }
    Ok(notification)
}

/// Appends a notification with its length in front. It is always of version 2; without a configuration, the text is
/// empty.
pub fn encode_notification(notification: &Notification, out: &mut Vec<u8>) {
    let start = begin_frame(out);
    let mut w = Writer::new(out);
    w.int(notification.state.number());
    w.long(notification.leader.0);
    w.long(notification.zxid.0);
    w.long(notification.round);
    w.long(notification.epoch);
    w.int(NOTIFICATION_VERSION);
    w.string(notification.config.as_deref().unwrap_or_default());
    end_frame(out, start);
}

/// What a server says first on an election link it opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Who it is.
    pub sid: Sid,
    /// Where it can be called back. Empty: where the configuration says.
    pub addresses: Vec<HostPort>,
}

/// Appends a greeting, to be sent in one write: Java takes what it gets by one read for all of it. One address gives the
/// form that every Java server since 3.5 understands; those that do not fit into 2048 bytes are left out.
pub fn encode_hello(sid: Sid, addresses: &[HostPort], out: &mut Vec<u8>) {
    let mut text = String::new();
    for address in addresses {
        let separator = if text.is_empty() { "" } else { "|" };
        let more = format!("{separator}{address}");
        if text.len() + more.len() <= HELLO_TEXT_MAX {
            text.push_str(&more);
        }
    }
    let mut w = Writer::new(out);
    w.long(if text.contains('|') { HELLO_V2 } else { HELLO_V1 });
    w.long(sid.0);
    w.string(&text);
}

/// Reads the greeting at the front of an election link; with it its length. `Ok(None)`: not all of it has come.
///
/// Servers before 3.5 say their sid and nothing else. Wildcard addresses are dropped: nobody can call back there.
pub fn decode_hello(bytes: &[u8]) -> Result<Option<(Hello, usize)>, Malformed> {
    match whole_hello(bytes) {
        Ok(hello) => Ok(Some(hello)),
        Err(Malformed::Eof) => Ok(None),
        Err(wrong) => Err(wrong),
    }
}

/// Here an end that comes too early only means that more is to come.
fn whole_hello(bytes: &[u8]) -> Result<(Hello, usize), Malformed> {
    let mut r = Reader::new(bytes);
    let (sid, text) = match r.long()? {
        HELLO_V1 | HELLO_V2 => (Sid(r.long()?), Some(hello_text(&mut r)?)),
        sid @ 0.. => (Sid(sid), None),
        // The low half is what tells one version from another.
        other => return Err(Malformed::Unknown(other as i32)),
    };
    let mut addresses = Vec::new();
    if let Some(text) = text {
        let text = std::str::from_utf8(text).map_err(|_| Malformed::Text)?;
        for address in text.split('|') {
            addresses.push(HostPort::parse(address).ok_or(Malformed::Text)?);
        }
    }
    addresses.retain(|address| !address.is_wildcard());
    Ok((Hello { sid, addresses }, bytes.len() - r.rest().len()))
}

fn hello_text<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let n = r.int()?;
    match usize::try_from(n) {
        Ok(len @ 1..=HELLO_TEXT_MAX) => r.take(len),
        Ok(_) | Err(_) => Err(Malformed::Length(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn config() -> String {
        let line = |n| format!("server.{n}=127.0.0.1:228{n}:238{n}:participant\n");
        (1..=3).map(line).chain(["version=0".to_owned()]).collect()
    }

    fn address(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    fn vote(state: PeerState, leader: i64, epoch: i64) -> Notification {
        Notification {
            state,
            leader: Sid(leader),
            zxid: Zxid(0),
            round: 1,
            epoch,
            version: 2,
            config: Some(config()),
        }
    }

    #[test]
    fn notifications_are_javas() {
        for (head, vote) in [
            (
                "00000000 0000000000000003 0000000000000000 0000000000000001 0000000000000000",
                vote(PeerState::Looking, 3, 0),
            ),
            (
                "00000001 0000000000000002 0000000000000000 0000000000000001 0000000000000001",
                vote(PeerState::Following, 2, 1),
            ),
        ] {
            let head = unhex(&format!("000000b0 {head} 00000002 00000084"));
            let frame = [&head[..], config().as_bytes()].concat();
            assert_eq!(decode_notification(&frame[4..]), Ok(vote.clone()));
            let mut again = Vec::new();
            encode_notification(&vote, &mut again);
            assert_eq!(again, frame);
            for end in 0..frame.len() - 4 {
                let cut = decode_notification(&frame[4..4 + end]);
                assert_eq!(cut.is_ok(), SHORT_FORMS.contains(&end), "{end} bytes");
            }
        }
    }

    #[test]
    fn old_forms_say_less() {
        let body = unhex(
            "00000002 0000000000000001 fffffff500000007 0000000000000004 8000000000000000 00000007 ffffffff",
        );
        let decoded = |len: usize| decode_notification(&body[..len]).unwrap();
        let old = decoded(28);
        assert_eq!((old.state, old.leader, old.round), (PeerState::Leading, Sid(1), 4));
        assert_eq!((old.epoch, old.version, old.config), (-11, 0, None));
        let old = decoded(40);
        assert_eq!((old.epoch, old.version, old.config), (i64::MIN, 0, None));
        assert_eq!(decode_notification(&body), Err(Malformed::Null));
    }

    #[test]
    fn a_notification_that_is_none_is_refused() {
        let mut frame = Vec::new();
        encode_notification(&vote(PeerState::Observing, i64::MIN, i64::MIN), &mut frame);
        let body = &frame[4..];
        let with = |at: usize, word: i32| {
            let mut body = body.to_vec();
            body[at..at + 4].copy_from_slice(&word.to_be_bytes());
            decode_notification(&body)
        };
        assert_eq!(with(0, 4), Err(Malformed::Unknown(4)));
        assert_eq!(with(0, -1), Err(Malformed::Unknown(-1)));
        assert_eq!(with(40, -2), Err(Malformed::Length(-2)));
        assert_eq!(with(40, i32::MAX), Err(Malformed::Eof));
        let first = with(36, 1).unwrap();
        assert_eq!((first.version, first.config), (1, None));
    }

    #[test]
    fn the_greeting_is_javas() {
        let bytes =
            unhex("ffffffffffff0000 0000000000000003 0000000e 3132372e302e302e313a32333833");
        let hello = Hello { sid: Sid(3), addresses: vec![address("127.0.0.1", 2383)] };
        let mut again = Vec::new();
        encode_hello(hello.sid, &hello.addresses, &mut again);
        assert_eq!(again, bytes);
        for end in 0..bytes.len() {
            assert_eq!(decode_hello(&bytes[..end]), Ok(None), "{end} bytes");
        }
        let len = bytes.len();
        let behind = [&bytes[..], b"more"].concat();
        assert_eq!(decode_hello(&behind), Ok(Some((hello, len))));
    }

    #[test]
    fn several_addresses_are_another_version_and_wildcards_are_dropped() {
        let all = [address("a", 1), address("0.0.0.0", 2), address("::", 3), address("::1", 4)];
        let mut bytes = Vec::new();
        encode_hello(Sid(7), &all, &mut bytes);
        assert_eq!(bytes[..8], HELLO_V2.to_be_bytes());
        assert_eq!(&bytes[20..], b"a:1|0.0.0.0:2|[::]:3|[::1]:4");
        let hello = Hello { sid: Sid(7), addresses: vec![address("a", 1), address("::1", 4)] };
        assert_eq!(decode_hello(&bytes), Ok(Some((hello, bytes.len()))));
        let many = vec![address(&"x".repeat(200), 65535); 20];
        let mut bytes = Vec::new();
        encode_hello(Sid(7), &many, &mut bytes);
        let (hello, _) = decode_hello(&bytes).unwrap().unwrap();
        assert_eq!(hello.addresses.len(), 9);
    }

    #[test]
    fn before_3_5_a_greeting_is_a_sid() {
        let bytes = unhex("0000000000000007 ffffffff");
        let hello = Hello { sid: Sid(7), addresses: Vec::new() };
        assert_eq!(decode_hello(&bytes), Ok(Some((hello, 8))));
    }

    #[test]
    fn a_greeting_that_is_none_is_refused() {
        let head = "ffffffffffff0000 0000000000000003";
        for (text, wrong) in [
            ("fffffffffffeffff".to_owned(), Malformed::Unknown(-65537)),
            ("ffffffffffff0002".to_owned(), Malformed::Unknown(-65534)),
            (format!("{head} 00000000"), Malformed::Length(0)),
            (format!("{head} ffffffff"), Malformed::Length(-1)),
            (format!("{head} 00000801"), Malformed::Length(2049)),
            (format!("{head} 00000001 61"), Malformed::Text),
            (format!("{head} 00000004 613a317c"), Malformed::Text),
            (format!("{head} 00000004 613a2d31"), Malformed::Text),
            (format!("{head} 00000003 ff3a31"), Malformed::Text),
        ] {
            assert_eq!(decode_hello(&unhex(&text)), Err(wrong), "{text}");
        }
    }
}
