//! Keeps a failure that repeats itself from flooding the log.

use std::collections::BTreeMap;
use tokio::time::{Duration, Instant};

/// How long a failure that was told is not told again.
const SILENCE: Duration = Duration::from_secs(30);
/// Failures that are remembered; a stranger could make up any number of them.
const REMEMBERED: usize = 1024;

/// What was told, when, and how often it happened since.
#[derive(Default, Debug)]
pub(crate) struct Complaints {
    told: BTreeMap<String, (Instant, u32)>,
}

impl Complaints {
    /// What to log, if it is time to: `key` is what makes a failure the same one.
    pub(crate) fn line(&mut self, key: &str, text: &str) -> Option<String> {
        let now = Instant::now();
        if let Some((at, since)) = self.told.get_mut(key) {
            if now < *at + SILENCE {
                *since += 1;
                return None;
            }
            let again = std::mem::take(since);
            *at = now;
            return Some(match again {
                0 => text.to_owned(),
                n => format!("{text} ({n} times more since this was last logged)"),
            });
        }
        if self.told.len() >= REMEMBERED {
            self.told.retain(|_, (at, _)| now < *at + SILENCE);
        }
        (self.told.len() < REMEMBERED).then(|| {
            self.told.insert(key.to_owned(), (now, 0));
            text.to_owned()
        })
    }
}

#[cfg(all(test, not(madsim)))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_is_told_once_in_a_while() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.line("a", "text").as_deref(), Some("text"));
        assert_eq!(complaints.line("a", "text"), None);
        assert_eq!(complaints.line("a", "text"), None);
        assert!(complaints.line("b", "other").is_some());
        complaints.told.get_mut("a").unwrap().0 -= SILENCE;
        let again = complaints.line("a", "text").unwrap();
        assert_eq!(again, "text (2 times more since this was last logged)");
        assert_eq!(complaints.line("a", "text"), None);
    }

    #[tokio::test]
    async fn strangers_cannot_fill_the_memory_or_the_log() {
        let mut complaints = Complaints::default();
        let told = (0..5000).filter(|n| complaints.line(&n.to_string(), "x").is_some()).count();
        assert_eq!((told, complaints.told.len()), (REMEMBERED, REMEMBERED));
    }
}
