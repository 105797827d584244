//! The bytes of one link, in and out.

use super::{Links, READ_AT_ONCE};
use crate::conn::{FAREWELL, finish_writing, whole_frames, write_some};
use crate::planted::{Plant, planted};
use crate::sockets::TcpStream;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::time::{Duration, sleep, timeout};
use zoetrope_core::{ChanId, Input, Link};

/// Longest election message, as in Java (quorum protocol §3.4).
const ELECTION_FRAME_MAX: i64 = 524_288;
/// How long a link that nothing can be sent on is read, should its end not come by itself.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a link has received and the core has not.
pub(super) struct Intake {
    pub(super) chan: ChanId,
    pub(super) link: Link,
    pub(super) partial: Vec<u8>,
}

impl Intake {
    /// Hands over what is whole; false when what follows makes no sense.
    pub(super) fn bytes(&mut self, links: &Links, bytes: &[u8]) -> bool {
        let chan = self.chan;
        if self.link != Link::Election {
            (links.sink)(&Input::PeerFrames { chan, bytes });
            return true;
        }
        let joined;
        let bytes = if self.partial.is_empty() {
            bytes
        } else {
            self.partial.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.partial);
            &joined[..]
        };
        let (whole, wrong) = whole_frames(bytes, 1..=ELECTION_FRAME_MAX);
        if whole > 0 {
            (links.sink)(&Input::PeerFrames { chan, bytes: &bytes[..whole] });
        }
        if !planted(Plant::CutVoteDropped) {
            self.partial = bytes[whole..].to_vec();
        }
        if let Some(len) = wrong {
            links.complain_of(
                chan,
                &format!(
                    "sent an election message of {len} bytes; 1 to {ELECTION_FRAME_MAX} are \
                          allowed. The link is closed; look at what runs there"
                ),
            );
        }
        wrong.is_none()
    }
}

/// Why reading ended.
enum End {
    /// The other server ended it, or the network did.
    Down,
    /// The core did.
    LetGo,
    /// Another link has taken its place, or the run is over.
    Gone,
}

/// How a link stands, as its reader must know it.
#[derive(Clone, Copy)]
struct Standing {
    paused: bool,
    broken: bool,
    closing: bool,
}

/// Reads a link until either side ends it.
pub(super) async fn read_link(
    links: Rc<Links>,
    mut intake: Intake,
    mut reader: ReadHalf<TcpStream>,
    changed: Rc<Notify>,
) {
    let end = loop {
        let Some(standing) = links.standing(intake.chan) else { break End::Gone };
        match standing {
            Standing { closing: true, .. } => break End::LetGo,
            // Nobody wants what there is to read, so nothing would ever tell that the link is over.
            Standing { paused: true, broken: true, .. } => break End::Down,
            Standing { paused: true, .. } => changed.notified().await,
            Standing { broken, .. } => tokio::select! {
                biased;
                () = changed.notified() => {}
                goes_on = read_once(&links, &mut intake, &mut reader) => {
                    if !goes_on {
                        break End::Down;
                    }
                }
                () = sleep(LAST_WORDS), if broken => break End::Down,
            },
        }
    };
    match end {
        End::Down => links.down(intake.chan),
        // Closing over unread bytes would destroy the last ones on their way out.
        End::LetGo => {
            let drain = async {
                let mut sink = [0; 4096];
                while matches!(reader.read(&mut sink).await, Ok(n) if n > 0) {}
            };
            let _ = timeout(FAREWELL, drain).await;
            links.down(intake.chan);
        }
        End::Gone => {}
    }
}

/// Reads what there is; false at the end.
async fn read_once(links: &Links, intake: &mut Intake, reader: &mut ReadHalf<TcpStream>) -> bool {
    poll_fn(|cx| {
        let mut scratch = links.scratch.borrow_mut();
        let mut buf = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *reader).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(false),
            Poll::Ready(Ok(())) => {
                let bytes = buf.filled();
                Poll::Ready(!bytes.is_empty() && intake.bytes(links, bytes))
            }
        }
    })
    .await
}

/// Waits until a slow socket takes more, as often as needed.
pub(super) async fn write_backlog(links: Rc<Links>, chan: ChanId) {
    let Some((mut writer, stop)) = links.take_writer(chan) else { return };
    while let Some(bytes) = links.next_bytes(chan) {
        if bytes.is_empty() {
            links.give_back(chan, writer);
            return;
        }
        let mut at = 0;
        while at < bytes.len() {
            // Small pieces, so that the core learns of every bit of credit.
            let piece = &bytes[at..bytes.len().min(at + READ_AT_ONCE)];
            let outcome = tokio::select! {
                biased;
                () = stop.notified() => return,
                outcome = write_some(&mut writer, piece) => outcome,
            };
            match outcome {
                Ok(taken) if taken > 0 => {
                    at += taken;
                    links.credit(chan, taken);
                }
                Ok(_) | Err(_) => {
                    links.broke(chan);
                    return;
                }
            }
        }
    }
}

impl Links {
    fn complain_of(&self, chan: ChanId, what: &str) {
        let Some(who) = self.state.borrow().chans.get(&chan).map(super::LinkIo::name) else {
            return;
        };
        self.complain(&format!("link with {who}"), &format!("{who} {what}"));
    }

    /// `None`: it is over.
    fn standing(&self, chan: ChanId) -> Option<Standing> {
        let state = self.state.borrow();
        let link = state.chans.get(&chan)?;
        let (paused, closing) = (link.io.paused, link.io.closing);
        Some(Standing { paused, broken: link.broken, closing })
    }

    fn take_writer(&self, chan: ChanId) -> Option<(WriteHalf<TcpStream>, Rc<Notify>)> {
        let mut state = self.state.borrow_mut();
        let link = state.chans.get_mut(&chan)?;
        Some((link.io.writer.take()?, link.io.stop.clone()))
    }

    fn next_bytes(&self, chan: ChanId) -> Option<Vec<u8>> {
        let mut state = self.state.borrow_mut();
        state.chans.get_mut(&chan).map(|link| std::mem::take(&mut link.io.backlog))
    }

    fn give_back(&self, chan: ChanId, writer: WriteHalf<TcpStream>) {
        let mut state = self.state.borrow_mut();
        let Some(link) = state.chans.get_mut(&chan) else { return };
        if link.io.closing {
            tokio::task::spawn_local(finish_writing(writer, Vec::new()));
        } else {
            link.io.writer = Some(writer);
        }
    }

    fn credit(&self, chan: ChanId, taken: usize) {
        let mut state = self.state.borrow_mut();
        let Some(link) = state.chans.get_mut(&chan) else { return };
        link.io.taken += taken as u64;
        let (upto, let_go) = (link.io.taken, link.io.closing);
        drop(state);
        if !let_go {
            (self.sink)(&Input::PeerSent { chan, upto });
        }
    }

    fn broke(&self, chan: ChanId) {
        if let Some(link) = self.state.borrow_mut().chans.get_mut(&chan) {
            link.broke();
        }
    }
}

impl super::LinkIo {
    fn name(&self) -> String {
        match self.key {
            Some((sid, _)) => format!("server {sid} at {}", self.io.peer.ip()),
            None => format!("the server at {}", self.io.peer.ip()),
        }
    }
}
