//! Runs a Zoetrope server on real sockets and disks. As stupid as it can be: everything is decided in the core.
//!
//! One thread owns the core, polls all sockets and writes all replies, so a lone request crosses no thread but the
//! disk's. Each device has a thread of its own, because a large snapshot must not delay the log's fsync.

mod clock;
mod complaints;
mod conn;
mod data_dir;
#[cfg(not(madsim))]
mod descriptors;
mod device;
mod disk;
mod driver;
mod files;
mod flight;
mod peers;
pub mod planted;
mod settings;
#[cfg(madsim)]
pub mod simulated;
mod sockets;
mod words;

pub use data_dir::DataDirs;
pub use disk::{DeviceOp, Disk, DiskDone, ThreadDisk};
pub use driver::{Storage, run, run_on};
pub use flight::flush_recording;
pub use settings::{PeerSettings, Recording, RunError, Settings};
pub use words::{DriverFigures, Observer, View, Words};
