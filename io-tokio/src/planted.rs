//! Known mistakes of the driver, put in on purpose: runs under madsim must find each of them (`tests/driver`). A place in
//! the code that can make one asks [`planted`], which is `false` and costs nothing unless the crate is built with the
//! feature `planted-bugs`, with which no server is built. As in the core, the mistake is a property of the thread.

macro_rules! plants {
    ($($(#[doc = $story:literal])+ $name:ident,)+) => {
        /// A mistake the driver can be made to have.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Plant {
            $($(#[doc = $story])+ $name,)+
        }

        #[cfg(feature = "planted-bugs")]
        impl Plant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What is wrong.
            pub fn story(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($story),+).trim_ascii(),)+
                }
            }
        }
    };
}

plants! {
    // Turns and timers.
    /// One completion of a device in a hundred is not told.
    LostWakeUp,
    /// Of several timers the last one is waited for.
    LastTimerFirst,

    // Clients.
    /// What a socket has taken of a reply counts as all of it.
    ShortWrite,
    /// Bytes that are no whole frame when they are read are dropped.
    CutFrameDropped,
    /// What a slow reader is sent begins again when its socket has taken a part of it.
    SentTwice,
    /// The core is not told what a slow reader has read.
    SentNotTold,
    /// A connection that may be read again is not.
    ResumeUnheard,
    /// A connection that the core gives up stays open.
    LeakedConnection,
    /// The core is not told that a client is gone.
    ClosedNotTold,
    /// Connections that the server has ended count for ever.
    CountNeverGivenBack,
    /// The first connection that cannot be accepted is the last.
    AcceptOnce,

    // Other servers.
    /// A vote that is cut between two reads is dropped.
    CutVoteDropped,
    /// The end of a link is not told.
    PeerDownNotTold,
    /// The core is not told what a link has taken.
    PeerSentNotTold,
    /// That a server cannot be reached is not told.
    UnreachableNotTold,

    // Disks.
    /// The log is called durable before it is.
    NoFsyncWait,
    /// An fsync overtakes the records that came before it.
    FsyncOvertakes,
    /// Names are never made durable.
    NoDirectoryFsync,
    /// An fsync that failed counts.
    FsyncErrorIgnored,
    /// Nothing is ever cut off a log.
    TruncateIgnored,
    /// The epoch files are called durable before they are.
    EpochsNotSynced,
    /// Epoch files are written over, not replaced.
    EpochsInPlace,
    /// A snapshot gets its name before it is durable.
    SnapshotNotSynced,
    /// A part of the room that was asked for is told as all of it.
    HalfTheRoom,
}

/// Is this a build in which mistakes can be made?
pub const PLANTED_BUGS: bool = cfg!(feature = "planted-bugs");

#[cfg(feature = "planted-bugs")]
mod choice {
    use super::Plant;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Plant>> = const { Cell::new(None) };
        static TIMES: Cell<u64> = const { Cell::new(0) };
    }

    /// From here on the servers of this thread have this mistake, or none.
    pub fn plant(plant: Option<Plant>) {
        PLANTED.set(plant);
        TIMES.set(0);
    }

    /// Do the servers of this thread have this mistake?
    pub(crate) fn planted(plant: Plant) -> bool {
        PLANTED.get() == Some(plant)
    }

    /// Do they have it, and is it time to make it: once in `n` times?
    pub(crate) fn planted_once_in(n: u64, plant: Plant) -> bool {
        planted(plant) && {
            TIMES.set(TIMES.get() + 1);
            TIMES.get().is_multiple_of(n)
        }
    }
}

#[cfg(feature = "planted-bugs")]
pub use choice::plant;
#[cfg(feature = "planted-bugs")]
pub(crate) use choice::{planted, planted_once_in};

/// Do the servers of this thread have this mistake? Not in this build.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
pub(crate) const fn planted(_: Plant) -> bool {
    false
}

/// The same.
#[cfg(not(feature = "planted-bugs"))]
#[inline]
pub(crate) const fn planted_once_in(_: u64, _: Plant) -> bool {
    false
}
