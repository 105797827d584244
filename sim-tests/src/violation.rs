//! What a failed run says: which kind of promise was broken, and which judge says so.

use crate::guard::Crash;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What kind of promise a run has broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Something good did not happen in time.
    Liveness,
    /// Something bad happened.
    Safety,
    /// The core panicked: one of its own asserts, or a mistake nobody had thought of.
    Crash,
}

impl Kind {
    /// Every kind, and what it is called in files.
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Liveness, "liveness"), (Self::Safety, "safety"), (Self::Crash, "crash")];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(kind, _)| kind == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Violation {
    /// What kind of promise it was.
    pub kind: Kind,
    /// Its name where it has one (quorum protocol §14), otherwise what is said of it whenever it is broken.
    pub judge: String,
    /// All that is said.
    pub text: String,
}

/// What is said of promises without a name, in words that stand in no other sentence.
const SAID: [(&str, &str); 17] = [
    ("the model says", "answer"),
    ("comes before the event", "watch"),
    ("heard event", "watch"),
    ("of what was missed", "watch"),
    ("zxid went back", "order"),
    ("is answered before xid", "order"),
    ("nothing was asked", "order"),
    ("after the restart", "recovery"),
    ("digest", "digest"),
    ("the log says", "answer"),
    ("may not be reaped", "reaping"),
    (" go with ", "session"),
    ("in the log", "log"),
    ("never logged", "log"),
    ("not logged", "log"),
    ("session", "session"),
    ("halted", "halt"),
];

/// Every judge has a name by which a smaller run can be told to fail like a larger one.
fn judge_of(text: &str) -> String {
    // What one server of several is told of begins with its name.
    let text = match text.strip_prefix("server ").and_then(|rest| rest.split_once(": ")) {
        Some((sid, rest)) if sid.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => text,
    };
    let head = text.split(':').next().unwrap_or_default();
    let named = head.len() <= 3
        && head.starts_with(|c: char| c.is_ascii_uppercase())
        && head.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if named {
        return head.to_owned();
    }
    let said = SAID.iter().find(|(words, _)| text.contains(words));
    said.map_or_else(|| without_numbers(text), |(_, name)| (*name).to_owned())
}

/// The words of a sentence, as far as they do not differ from run to run.
fn without_numbers(text: &str) -> String {
    let words = text.split_whitespace().map(|word| word.trim_end_matches([',', ':', '.', ';']));
    let plain = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_alphabetic());
    words.filter(plain).take(8).collect::<Vec<_>>().join(" ")
}

impl Violation {
    /// A judge has said this.
    pub fn of_judge(text: String) -> Self {
        let judge = judge_of(&text);
        let late = ["after", "were not answered", "no answer"];
        let unnamed = text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with("after ");
        let live = judge.starts_with('L')
            || unnamed && late.iter().any(|word| text.contains(word)) && text.contains(" ms ")
            || text.contains("within an hour");
        Self { kind: if live { Kind::Liveness } else { Kind::Safety }, judge, text }
    }

    /// The core panicked.
    pub fn of_crash(crash: &Crash) -> Self {
        let file = crash.place.rsplit_once(':').map_or("", |(file, _)| file);
        let judge = format!("panic in {file}: {}", without_numbers(&crash.message));
        Self { kind: Kind::Crash, judge, text: crash.to_string() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} violation: {}", self.kind, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_is_known_by_what_it_says() {
        for (text, kind, judge) in [
            ("P8: server 1 cuts its disk off at 0x3", Kind::Safety, "P8"),
            ("server 2: D-e: the tree of 2 at 0x4", Kind::Safety, "D-e"),
            ("L1: no leader within 30000 ms", Kind::Liveness, "L1"),
            (
                "20 requests were not answered within an hour",
                Kind::Liveness,
                "requests were not answered within an hour",
            ),
            ("conn 3: zxid went back from 0x4 to 0x3", Kind::Safety, "order"),
            (
                "0x5: [\"/a\"] fly with 0x3, which owns {\"/b3\"}",
                Kind::Safety,
                "fly with which owns",
            ),
            (
                "server 3: conn 4 xid 9: answered Ok([]), the model says Err(-101)",
                Kind::Safety,
                "answer",
            ),
            (
                "clients were told of 0x5, but after the restart the server has 0x4 only",
                Kind::Safety,
                "recovery",
            ),
        ] {
            let found = Violation::of_judge(text.to_owned());
            assert_eq!((found.kind, found.judge.as_str()), (kind, judge), "{text}");
        }
        let crash = |line, n| Crash {
            message: format!("zxid {n} is missing"),
            place: format!("core/src/x.rs:{line}"),
        };
        let (one, two) = (Violation::of_crash(&crash(4, 5)), Violation::of_crash(&crash(6, 7)));
        assert_eq!((one.kind, &one.judge), (Kind::Crash, &two.judge));
    }
}
