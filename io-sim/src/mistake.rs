//! Mistakes put in on purpose, to see the judges find them: those a driver could make, which need no feature because
//! the simulator is the driver, and with the feature `planted-bugs` those of the core.

#[cfg(feature = "planted-bugs")]
use zoetrope_core::Plant;

macro_rules! mistakes {
    ($($(#[doc = $story:literal])+ $name:ident = $retells:literal,)+) => {
        /// A mistake of a driver, or of the core.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
        #[non_exhaustive]
        pub enum Mistake {
            /// None.
            #[default]
            None,
            $($(#[doc = $story])+ $name,)+
            /// The core has it.
            #[cfg(feature = "planted-bugs")]
            Core(Plant),
        }

        impl Mistake {
            /// Those of a driver.
            const DRIVER: &[Self] = &[$(Self::$name),+];

            /// What is wrong.
            pub fn story(self) -> &'static str {
                match self {
                    Self::None => "Nothing is wrong.",
                    $(Self::$name => concat!($($story),+).trim_ascii(),)+
                    #[cfg(feature = "planted-bugs")]
                    Self::Core(plant) => plant.story(),
                }
            }

            /// The entry of the museum (docs/museum.md) or the issue of ZooKeeper's tracker that it retells.
            pub fn retells(self) -> &'static str {
                match self {
                    Self::None => "",
                    $(Self::$name => $retells,)+
                    #[cfg(feature = "planted-bugs")]
                    Self::Core(plant) => plant.retells(),
                }
            }
        }
    };
}

mistakes! {
    /// The log is called durable before it is.
    NoFsyncWait = "driver: ack before fsync",
    /// Names are never made durable.
    NoDirectoryFsync = "driver, D14",
    /// The events of a turn come behind its replies.
    ReplyBeforeEvent = "driver: watch after data",
    /// Two replies of a turn change places.
    RepliesOutOfOrder = "driver",
    /// The epoch files are called durable before they are.
    NoEpochWait = "driver, D03",
    /// A snapshot gets its name before it is durable.
    SnapshotNotSynced = "driver, D18",
    /// Nothing is ever cut off a file.
    TruncateIgnored = "driver, D07",
    /// An fsync that failed counts.
    FsyncErrorIgnored = "driver, B10",
    /// Of a long write only the beginning is made.
    ShortWrite = "driver: short write",
    /// One completion in a hundred is never told.
    LostWakeUp = "driver: lost wake-up",
    /// A connection that the server gives up stays open.
    LeakedConnection = "driver: leaked connection",
}

impl Mistake {
    /// Every mistake there is in this build.
    pub fn all() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut all = Self::DRIVER.to_vec();
        #[cfg(feature = "planted-bugs")]
        all.extend(Plant::ALL.iter().map(|plant| Self::Core(*plant)));
        all
    }

    /// What command lines call it: `no-fsync-wait`.
    pub fn name(self) -> String {
        let said = match self {
            #[cfg(feature = "planted-bugs")]
            Self::Core(plant) => format!("{plant:?}"),
            other => format!("{other:?}"),
        };
        let mut name = String::new();
        for letter in said.chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    /// The servers of the world that begins on this thread have it, if it is one of the core.
    pub(crate) fn plant(self) {
        #[cfg(feature = "planted-bugs")]
        zoetrope_core::plant(match self {
            Self::Core(plant) => Some(plant),
            _ => None,
        });
    }
}
