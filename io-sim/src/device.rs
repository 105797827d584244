//! What devices do: operations with their paths resolved, and what comes of them. Carries nothing out.

use crate::disk::Keep;
use zoetrope_core::{Device, Dir, Effect, FileId, Input, Turn, Zxid};

/// One device operation, its paths resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Op {
    Reserve { file: FileId, name: String, upto: u64 },
    Append { name: String, at: u64, bytes: Vec<u8> },
    Fsync { name: String, branch: u32, upto: u64 },
    Rename { from: String, to: String },
    FsyncDir,
    Truncate { name: String, at: u64 },
    Discard { name: String },
    Epochs { generation: u32, accepted: u32, current: u32 },
    Slice { at: u64, bytes: Vec<u8> },
    Finish { name: String, zxid: Zxid },
    Remove { name: String },
}

/// What scenario files call device operations.
pub(crate) const OPS: [&str; 11] = [
    "reserve",
    "append",
    "fsync",
    "rename",
    "fsync-dir",
    "truncate",
    "discard",
    "epochs",
    "slice",
    "finish",
    "remove",
];

impl Op {
    /// What scenario files call it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Reserve { .. } => "reserve",
            Self::Append { .. } => "append",
            Self::Fsync { .. } => "fsync",
            Self::Rename { .. } => "rename",
            Self::FsyncDir => "fsync-dir",
            Self::Truncate { .. } => "truncate",
            Self::Discard { .. } => "discard",
            Self::Epochs { .. } => "epochs",
            Self::Slice { .. } => "slice",
            Self::Finish { .. } => "finish",
            Self::Remove { .. } => "remove",
        }
    }
}

/// The queues of a host, in an order of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs)]
pub enum Queue {
    Log,
    /// Room is made beside the log, by a device of its own.
    Room,
    Snapshot,
    Epochs,
}

/// What a device has to do for an effect.
pub fn device_op(effect: &Effect, turn: &Turn<'_>) -> Option<(Queue, Op)> {
    let name = |file| turn.place(file).name.clone();
    Some(match *effect {
        Effect::Reserve { file, upto } => {
            (Queue::Room, Op::Reserve { file, name: name(file), upto })
        }
        Effect::Append { file, at, bytes } => {
            let bytes = turn.bytes(bytes).to_vec();
            (Queue::Log, Op::Append { name: name(file), at, bytes })
        }
        Effect::Fsync { file, branch, upto } => {
            (Queue::Log, Op::Fsync { name: name(file), branch, upto })
        }
        Effect::Rename { from, to } => (Queue::Log, Op::Rename { from: name(from), to: name(to) }),
        Effect::FsyncDir => (Queue::Log, Op::FsyncDir),
        Effect::Truncate { file, at } => (Queue::Log, Op::Truncate { name: name(file), at }),
        Effect::Discard { file } => (Queue::Log, Op::Discard { name: name(file) }),
        Effect::PutEpochs { generation, accepted, current } => {
            (Queue::Epochs, Op::Epochs { generation, accepted, current })
        }
        Effect::SnapSlice { at, bytes } => {
            (Queue::Snapshot, Op::Slice { at, bytes: turn.bytes(bytes).to_vec() })
        }
        Effect::SnapFinish { file, zxid } => {
            (Queue::Snapshot, Op::Finish { name: name(file), zxid })
        }
        Effect::Remove { file } => {
            let of_snapshots = turn.place(file).dir == Dir::Snapshot;
            let queue = if of_snapshots { Queue::Snapshot } else { Queue::Room };
            (queue, Op::Remove { name: name(file) })
        }
        _ => return None,
    })
}

/// What a device says when it is done.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    Reserved { file: FileId, upto: u64 },
    NoRoom { file: FileId },
    Durable { branch: u32, upto: u64 },
    Epochs { generation: u32 },
    SnapWritten { upto: u64 },
    SnapDurable { zxid: Zxid },
    SnapFailed,
    Read { file: FileId, at: u64, bytes: Vec<u8> },
    ReadFailed { file: FileId, at: u64 },
    Failed { error: &'static str },
}

impl Done {
    pub(crate) fn input(&self) -> Input<'_> {
        match self {
            Self::Reserved { file, upto } => Input::Reserved { file: *file, upto: *upto },
            Self::NoRoom { file } => Input::NoRoom { file: *file },
            Self::Durable { branch, upto } => Input::Durable { branch: *branch, upto: *upto },
            Self::Epochs { generation } => Input::EpochsDurable { generation: *generation },
            Self::SnapWritten { upto } => Input::SnapWritten { upto: *upto },
            Self::SnapDurable { zxid } => Input::SnapDurable { zxid: *zxid },
            Self::SnapFailed => Input::SnapFailed,
            Self::Read { file, at, bytes } => Input::ReadDone { file: *file, at: *at, bytes },
            Self::ReadFailed { file, at } => {
                let error = "injected: input/output error";
                Input::ReadFailed { file: *file, at: *at, error }
            }
            Self::Failed { error } => Input::Failed { device: Device::Log, error },
        }
    }
}

/// A crash that waits for its operation.
#[derive(Clone, Debug)]
pub(crate) struct Armed {
    pub(crate) op: String,
    pub(crate) skip: u64,
    pub(crate) keep: Keep,
    pub(crate) down: u64,
}
