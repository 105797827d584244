//! A file, replayed.

use super::codec;
use super::format::{About, BUILD, Checkpoint, End, MAGIC, Record, take};
use super::recorder::digest;
use crate::input::Input;
use crate::server::{Server, Turn};
use crate::time::Now;
use crate::tree::Znode;
use std::collections::BTreeMap;
use std::fmt;

/// Goes through the bytes of a file, and a server with it.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    bytes: &'a [u8],
    at: usize,
    about: About,
    born: bool,
    now: Now,
    server: Server,
    /// What the turn came to whose record has not come yet.
    did: Option<u32>,
    over: bool,
    scratch: Vec<u8>,
}

/// Why nothing of a file can be replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// It does not begin like a recording.
    NoRecording,
    /// Another core has written it.
    OtherBuild(String),
    /// The state to begin with is not whole: offset in bytes, and what is wrong there.
    NoStart(usize, String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecording => write!(f, "this is no flight recording of this format"),
            Self::OtherBuild(build) => write!(
                f,
                "recorded by {build}, but this is {BUILD}: only the zoetrope-sim of the same build can replay it"
            ),
            Self::NoStart(at, why) => {
                write!(f, "the state it begins with is not whole: at byte {at}: {why}")
            }
        }
    }
}

/// What one step of a replay was.
#[derive(Clone, PartialEq, Debug)]
pub enum Step<'a> {
    /// The server absorbed this.
    Input(Input<'a>),
    /// It ended a turn: [`Replay::turn`].
    Turn,
    /// What the last turn came to, was the same when it was recorded.
    Same,
    /// It was not: the CRC-32 of what was asked for then, and now.
    Differs(u32, u32),
    /// Then and now the server is the same.
    Checkpoint,
    /// It is not: what it was then, and what it is now.
    Elsewhere(Box<Checkpoint>, Box<Checkpoint>),
    /// The file ends here, and says why.
    End(End),
    /// The file ends here, at a byte, without saying so: a process that was killed, or damage.
    Cut(usize, &'static str),
}

impl<'a> Replay<'a> {
    /// Reads the state that a file begins with.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Unreadable::NoRecording)?;
        let (len, rest) = rest.split_first().ok_or(Unreadable::NoRecording)?;
        let build = rest.get(..usize::from(*len)).ok_or(Unreadable::NoRecording)?;
        if build != BUILD.as_bytes() {
            let readable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
            let text = String::from_utf8_lossy(build).chars().map(readable).collect();
            return Err(Unreadable::OtherBuild(text));
        }
        let at = MAGIC.len() + 1 + build.len();
        let wrong = |at, why: &str| Unreadable::NoStart(at, why.to_owned());
        let (about, mut at) = match take(bytes, at) {
            Ok((Record::About(about), next)) => (about, next),
            Ok(_) => return Err(wrong(at, "the first record says nothing of whose it is")),
            Err(why) => return Err(wrong(at, why)),
        };
        let mut parts = Parts::default();
        loop {
            let (record, next) = take(bytes, at).map_err(|why| wrong(at, why))?;
            let start = parts.take(&about, record).map_err(|why| Unreadable::NoStart(at, why))?;
            at = next;
            let Some((server, now)) = start else { continue };
            let born = parts.is_untouched();
            let (did, over, scratch) = (None, false, Vec::new());
            return Ok(Self { bytes, at, about, born, now, server, did, over, scratch });
        }
    }

    /// Whose recording it is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// It begins with the beginning of the process.
    pub fn begins_with_the_process(&self) -> bool {
        self.born
    }

    /// The moment of the last input or turn.
    pub fn now(&self) -> Now {
        self.now
    }

    /// The moment of the next input or turn, if that is what comes next.
    pub fn next_now(&self) -> Option<Now> {
        match take(self.bytes, self.at) {
            Ok((Record::Input(moment, _) | Record::Turn(moment), _)) => {
                Some(moment.after(self.now))
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// The offset of the next record, bytes.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The server as it is now.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// What the last turn asked for, until the next input.
    pub fn turn(&self) -> Turn<'_> {
        Turn::of(&self.server)
    }

    /// Takes the next record; `None` when the last one is taken.
    pub fn step(&mut self) -> Option<Step<'a>> {
        if self.over {
            return None;
        }
        let (record, next) = match take(self.bytes, self.at) {
            Ok(taken) => taken,
            Err(why) => {
                self.over = true;
                let whole = self.at == self.bytes.len();
                return Some(Step::Cut(self.at, if whole { "the file ends" } else { why }));
            }
        };
        let at = std::mem::replace(&mut self.at, next);
        Some(match record {
            Record::Input(moment, input) => {
                self.now = moment.after(self.now);
                self.server.input(self.now, &input);
                Step::Input(input)
            }
            Record::Turn(moment) => {
                self.now = moment.after(self.now);
                self.did = Some(digest(&self.server.effects(self.now), &mut self.scratch));
                Step::Turn
            }
            Record::Did(then) => match self.did.take() {
                Some(now) if now == then => Step::Same,
                now => Step::Differs(then, now.unwrap_or_default()),
            },
            Record::Checkpoint(then) => match Box::new(self.server.checkpoint()) {
                now if now == then => Step::Checkpoint,
                now => Step::Elsewhere(then, now),
            },
            Record::End(why) => {
                self.over = true;
                Step::End(why)
            }
            Record::About(_)
            | Record::Born { .. }
            | Record::Slots(_)
            | Record::Block(..)
            | Record::Rest(_) => {
                self.over = true;
                Step::Cut(at, "a record that belongs to the beginning of a file")
            }
        })
    }
}

/// What of the state to begin with has been read.
#[derive(Default)]
struct Parts {
    slots: Vec<Znode>,
    blocks: BTreeMap<u64, Vec<u8>>,
    copied: bool,
}

impl Parts {
    /// Was the state none of a running server?
    fn is_untouched(&self) -> bool {
        !self.copied
    }

    /// Takes one record; a server when it is complete.
    fn take(&mut self, about: &About, record: Record<'_>) -> Result<Option<(Server, Now)>, String> {
        match record {
            Record::Born { config, now, listing } => {
                return Ok(Some((Server::new(*config, about.seed, now, listing), now)));
            }
            Record::Slots(bytes) => self.take_slots(bytes)?,
            Record::Block(number, bytes) => {
                self.blocks.insert(number, bytes.to_vec());
            }
            Record::Rest(bytes) => {
                self.copied = true;
                let wrong = |error| format!("the rest of the server cannot be decoded: {error}");
                let (now, used) = codec::decode::<Now>(bytes).map_err(wrong)?;
                let rest = bytes.get(used..).unwrap_or_default();
                let (rest, _) = codec::decode::<Server>(rest).map_err(wrong)?;
                let (slots, blocks) =
                    (std::mem::take(&mut self.slots), std::mem::take(&mut self.blocks));
                return Ok(Some((rest.complete(slots, blocks)?, now)));
            }
            Record::About(_)
            | Record::Input(..)
            | Record::Turn(_)
            | Record::Did(_)
            | Record::Checkpoint(_)
            | Record::End(_) => {
                return Err("it goes on before the state to begin with is complete".to_owned());
            }
        }
        Ok(None)
    }

    fn take_slots(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let ((slot, node), used) = codec::decode::<(u32, Znode)>(bytes)
                .map_err(|error| format!("a znode cannot be decoded: {error}"))?;
            bytes = bytes.get(used..).unwrap_or_default();
            match (slot as usize).cmp(&self.slots.len()) {
                std::cmp::Ordering::Less => self.slots[slot as usize] = node,
                std::cmp::Ordering::Equal => self.slots.push(node),
                std::cmp::Ordering::Greater => return Err(format!("znode {slot} comes too early")),
            }
        }
        Ok(())
    }
}
