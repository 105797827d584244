//! The flight recorder's format: what a server was told, in order, so that the same core comes to the same state again.
//! Writes and reads no file.
//!
//! A recording is a series of files, each of which can be replayed alone. It begins with [`MAGIC`] and the name of the
//! build, then come records: length and CRC-32 (four bytes each, little-endian), and the record in bincode. First the
//! state to begin with: either what a server was made of, or a copy of one that was running (`server/image.rs`). Then every
//! input and every turn, with a digest of what the turn asked for, and from time to time a [`Checkpoint`].
//!
//! * [`Recorder`] makes records of inputs and turns; [`Copy`] the state of a running server, beside its running.
//! * [`Replay`] goes through a file. Its bytes are checked before they are believed; a file that was changed on purpose, with its
//!   checksums made right, can make the core panic, but not the reading.

mod codec;
mod copy;
mod format;
mod recorder;
mod replay;

pub(crate) use codec::{adler, bytes, never, optional_bytes};
pub use copy::{Copy, Copying};
pub use format::{About, BUILD, Checkpoint, End, MAGIC};
pub use recorder::Recorder;
pub use replay::{Replay, Step, Unreadable};
