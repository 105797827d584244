//! Four-letter words: an operator asks on the client port, and a text comes back. Formats; changes nothing by itself.

mod clients;
mod machine;
mod mntr;
mod sessions;
mod watches;

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;

use zoetrope_core::{Command, Phase};
use zoetrope_io_tokio::{View, Words};

use crate::settings::WordSettings;

/// Answers four-letter words (client protocol §5.1).
#[derive(Debug)]
pub struct FourLetterWords {
    settings: WordSettings,
    startup: Rc<Cell<Startup>>,
    /// Nothing is traced; Java prints the mask, so it is kept.
    trace_mask: i64,
    traffic: Traffic,
}

/// Words since the start or since `srst`; Java counts them among the packets.
#[derive(Clone, Copy, Default, Debug)]
struct Traffic {
    asked: u64,
    /// One less than asked while an answer is being made, but for `srst`'s own.
    answered: u64,
}

/// How the start went, for `mntr`.
#[derive(Clone, Copy, Default, Debug)]
pub struct Startup {
    /// From the start of the process to serving, ms.
    pub took_ms: u64,
    /// Log records replayed.
    pub replayed: u64,
}

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";
const DEFAULT_TRACE_MASK: i64 = 0o462;
const TELNET_CLOSE: [u8; 4] = [0xff, 0xf4, 0xff, 0xfd];

/// All words, and whether they need a server that serves.
const WORDS: [(&str, bool); 18] = [
    ("conf", true),
    ("cons", true),
    ("crst", true),
    ("dirs", true),
    ("dump", true),
    ("envi", false),
    ("gtmk", false),
    ("hash", true),
    ("isro", true),
    ("mntr", true),
    ("ruok", false),
    ("srst", true),
    ("srvr", true),
    ("stat", true),
    ("stmk", false),
    ("wchc", true),
    ("wchp", true),
    ("wchs", true),
];

impl FourLetterWords {
    /// Answers as the settings allow. `startup` is filled in while the server starts.
    pub fn new(settings: WordSettings, startup: Rc<Cell<Startup>>) -> Self {
        Self { settings, startup, trace_mask: DEFAULT_TRACE_MASK, traffic: Traffic::default() }
    }

    fn permitted(&mut self, word: &str, argument: &[u8], view: &View<'_>) -> String {
        if !self.settings.allows(word) {
            return format!("{word} is not executed because it is not in the whitelist.\n");
        }
        let needs_serving = WORDS.iter().any(|(name, needs)| *name == word && *needs);
        if needs_serving && !view.server.phase().serves() {
            return not_serving(word);
        }
        self.text(word, argument, view)
    }

    fn text(&mut self, word: &str, argument: &[u8], view: &View<'_>) -> String {
        let status = view.server.status();
        match word {
            "ruok" => "imok".to_owned(),
            "gtmk" => self.trace_mask.to_string(),
            "stmk" => {
                if let Ok(mask) = argument.try_into() {
                    self.trace_mask = i64::from_be_bytes(mask);
                }
                self.trace_mask.to_string()
            }
            "envi" => machine::envi(self.settings.date_format),
            "isro" => if status.phase == Phase::ReadOnly { "ro" } else { "rw" }.to_owned(),
            "conf" => machine::conf(view),
            "dirs" => machine::dirs(view.settings),
            "srvr" => clients::srvr(&status, view, &self.settings, self.traffic),
            "stat" => clients::stat(&status, view, &self.settings, self.traffic),
            "cons" => clients::cons(view),
            "crst" => "Connection stats reset.\n".to_owned(),
            "srst" => "Server stats reset.\n".to_owned(),
            "dump" => sessions::dump(view),
            "hash" => hash(view),
            "mntr" => mntr::mntr(&status, view, &self.settings, self.startup.get(), self.traffic),
            "wchs" => watches::wchs(view.server),
            "wchc" => watches::wchc(view.server),
            "wchp" => watches::wchp(view.server),
            _ => String::new(),
        }
    }
}

impl Words for FourLetterWords {
    fn argument_len(&self, word: [u8; 4]) -> Option<usize> {
        if word == TELNET_CLOSE {
            return Some(0);
        }
        let word = str::from_utf8(&word).ok()?;
        let known = WORDS.iter().any(|(name, _)| *name == word);
        // A mask belongs to a word that will be carried out.
        known.then(|| if word == "stmk" && self.settings.allows(word) { 8 } else { 0 })
    }

    fn answer(
        &mut self,
        word: [u8; 4],
        argument: &[u8],
        view: &View<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Command> {
        self.traffic.asked += 1;
        let word =
            if word == TELNET_CLOSE { "telnet close" } else { str::from_utf8(&word).ok()? };
        out.extend_from_slice(self.permitted(word, argument, view).as_bytes());
        let command = match word {
            _ if !self.settings.allows(word) => None,
            "srst" => {
                self.traffic = Traffic::default();
                Some(Command::ResetStats)
            }
            "crst" => Some(Command::ResetConnStats),
            _ => None,
        };
        self.traffic.answered += 1;
        command
    }
}

fn not_serving(word: &str) -> String {
    match word {
        "isro" => "null".to_owned(),
        "hash" => NOT_SERVING.to_owned(),
        _ => format!("{NOT_SERVING}\n"),
    }
}

fn hash(view: &View<'_>) -> String {
    let mut text = String::new();
    for (zxid, digest) in view.server.digests() {
        let _ = writeln!(text, "{:x}: {}", zxid.0, digest as i64);
    }
    text
}

/// A number with at least one and at most four digits behind the point, like Java's doubles after rounding.
fn decimal(number: f64) -> String {
    format!("{:?}", (number * 10_000.0).round() / 10_000.0)
}
