//! A run on a thread of its own, so that a panic of the core ends the run and not the program; in builds where a panic
//! may not unwind as well: there the thread stops where it stands, and its memory is lost.

use crate::seeds::thread_cpu_ns;
use std::cell::RefCell;
use std::fmt;
use std::sync::Once;
use std::sync::mpsc::{Sender, channel};

/// A panic: what it said, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Crash {
    /// What it said.
    pub message: String,
    /// File and line.
    pub place: String,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked at {}: {}", self.place, self.message)
    }
}

thread_local! {
    /// Who is told of a panic of this thread.
    static WATCHER: RefCell<Option<Sender<(Crash, u64)>>> = const { RefCell::new(None) };
}

/// A panic of a watched thread is told to its watcher, and to nobody else.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let Some(watcher) = WATCHER.with(|watcher| watcher.borrow_mut().take()) else {
                return usual(panic);
            };
            let text = panic.payload().downcast_ref::<String>().cloned();
            let text = text.or(panic.payload().downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
            let (message, place) = (text.unwrap_or_default(), place.unwrap_or_default());
            // Who does not wait any more need not know.
            let _ = watcher.send((Crash { message, place }, thread_cpu_ns()));
            while cfg!(panic = "abort") {
                std::thread::park();
            }
        }));
    });
}

/// Runs it, and answers what it answers, or its panic.
pub fn guarded<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Result<T, Crash> {
    guarded_and_timed(run).0
}

/// The same, with the CPU time it has taken, ns.
pub fn guarded_and_timed<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> (Result<T, Crash>, u64) {
    install_hook();
    let (done, result) = channel();
    let (watcher, crash) = channel();
    let thread = std::thread::spawn(move || {
        WATCHER.with(|mine| *mine.borrow_mut() = Some(watcher));
        let answer = run();
        // First, so that whoever waits for a crash waits no longer.
        let _ = done.send((answer, thread_cpu_ns()));
        WATCHER.with(|mine| *mine.borrow_mut() = None);
    });
    if let Ok((crash, cpu_ns)) = crash.recv() {
        return (Err(crash), cpu_ns);
    }
    let answer = result.recv();
    let ended = thread.join();
    match answer {
        Ok((answer, cpu_ns)) => (Ok(answer), cpu_ns),
        Err(_) => {
            let message = format!("the thread ended without a word: {ended:?}");
            (Err(Crash { message, place: String::new() }), 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_run_and_says_what_and_where() {
        assert_eq!(guarded(|| 7), Ok(7));
        let crash = guarded(|| -> u8 { panic!("zxid {} is missing", 4) }).unwrap_err();
        assert_eq!(crash.message, "zxid 4 is missing");
        assert!(crash.place.contains("guard.rs:"), "{crash}");
        assert_eq!(guarded(|| 8), Ok(8));
    }
}
