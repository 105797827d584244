//! Judges simulated runs: an independent model of ZooKeeper replays the committed order, and every reply, event and
//! digest of a server must match it exactly. Of an ensemble, the order itself is read off what its servers say to each
//! other and put on their disks, and judged as well.

mod campaign;
mod checkers;
mod coverage;
mod execution;
mod guard;
pub mod hunt;
mod model;
mod oracle;
mod quotas;
mod request;
mod run;
mod seeds;
pub mod sense;
mod shrink;
mod sweep;
mod together;
mod view;
mod violation;

/// Bytes and nodes come and go with every event of a run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use campaign::{Campaign, Failure, Kin, News, Part, Shard, Tally};
pub use coverage::Met;
pub use guard::{Crash, guarded, guarded_and_timed};
pub use run::{
    Report, Visit, judge, judge_and_keep_files, judge_ensemble_seed, judge_scenario, judge_seed,
    judges, watched, world,
};
pub use seeds::{Results, Swarm, run_seeds, thread_cpu_ns};
pub use shrink::{Effort, Oftenness, Shrunk, shrink, told_oftenness};
pub use sweep::{Fall, Swept, Unswept, sweep};
pub use view::{About, Film, Reel, page};
pub use violation::{Kind, Violation};
