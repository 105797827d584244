//! Judges simulated runs: an independent model of ZooKeeper replays the committed order, and every reply, event and
//! digest of the server must match it exactly.

mod model;
mod oracle;
mod run;

pub use run::{Report, judge_and_keep_files, judge_scenario, judge_seed};
