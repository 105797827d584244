//! Exit codes: Java's numbers where it has one.

use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// All is well; also after SIGTERM.
    Success = 0,
    /// The data cannot be served, a device failed, the port is taken.
    Failure = 1,
    /// The configuration is wrong.
    Configuration = 2,
    /// A data directory cannot be used.
    DataDirectory = 3,
    /// A port for other servers cannot be opened; Java's number.
    PeerPort = 14,
    /// This program is wrong: it panicked.
    Panic = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Says why nothing was started.
pub fn refuse(exit: Exit, sentence: &str) -> ExitCode {
    eprintln!("zoetrope: {sentence}");
    exit.into()
}
