//! The server binary's parts: configuration, four-letter words, logs. No protocol and no disk.

// Known mistakes are for the simulator only.
const _: () = assert!(
    !zoetrope_core::PLANTED_BUGS && !zoetrope_io_tokio::planted::PLANTED_BUGS,
    "no server is built with planted bugs"
);

pub mod args;
pub mod check;
pub mod config_file;
mod draft;
pub mod ensemble;
pub mod exit;
pub mod keys;
pub mod launch;
pub mod markdown;
mod nearest;
mod quorum;
pub mod settings;
pub mod sources;
pub mod telemetry;
pub mod value;
pub mod version;
pub mod words;
