//! What a scenario file says beyond its grammar: values that no run can do anything with, and ids that nobody has.

use zoetrope_io_sim::{Fault, Scenario, Step, Target};

/// The most servers of an ensemble: what the simulator is made for, and tested with.
const SERVERS: u32 = 9;
/// The most clients, and the most requests each has in flight.
const CLIENTS: u32 = 10_000;
/// The most rounds.
const ROUNDS: u32 = 1_000;
/// The longest time, ms: thirty days.
const TIME_MS: u64 = 30 * 24 * 3_600_000;
/// How far a wall clock jumps at most, ms: thirty years.
const JUMP_MS: i64 = 30 * 365 * 24 * 3_600_000;
/// The most of anything that is counted.
const MANY: u64 = 1_000_000_000;

/// Why no run can be made of it, if none can.
pub fn nonsense(scenario: &Scenario) -> Option<String> {
    head(scenario).or_else(|| {
        let wrong = |(n, at): (usize, &Step)| {
            step(scenario, at).map(|why| format!("step {}: {why}", n + 1))
        };
        scenario.steps.iter().enumerate().find_map(wrong)
    })
}

/// The first of these that holds.
fn first<const N: usize>(rules: [(bool, String); N]) -> Option<String> {
    rules.into_iter().find_map(|(broken, why)| broken.then_some(why))
}

fn head(scenario: &Scenario) -> Option<String> {
    let Scenario { peers, observers, clients, pipeline, groups, .. } = scenario;
    let servers = peers.unwrap_or(1).saturating_add(*observers);
    let of_ensembles = *observers > 0 || !groups.is_empty() || !scenario.old_votes.is_empty();
    first([
        (i64::try_from(scenario.seed).is_err(), format!("seed is more than {}", i64::MAX)),
        (*peers == Some(0), "peers is 0, and somebody has to vote".to_owned()),
        (servers > SERVERS, format!("{servers} servers; at most {SERVERS} can be simulated")),
        (
            peers.is_none() && of_ensembles,
            "observers, groups and old_votes are of an ensemble: say how many peers it has"
                .to_owned(),
        ),
        (*clients > CLIENTS, format!("{clients} clients; at most {CLIENTS} can be simulated")),
        (
            !(1..=CLIENTS).contains(pipeline),
            format!("pipeline is {pipeline}, and has to be from 1 to {CLIENTS}"),
        ),
        (scenario.snap_count == 0, "snap_count is 0".to_owned()),
        (
            !(1..=ROUNDS).contains(&scenario.rounds),
            format!("rounds is {}, and has to be from 1 to {ROUNDS}", scenario.rounds),
        ),
        (scenario.link_budget == Some(0), "link_budget is 0, so no server could speak".to_owned()),
        (scenario.slice == Some(0), "slice is 0, so no snapshot would ever be written".to_owned()),
        (scenario.reap_every == Some(0), "reap_every is 0".to_owned()),
    ])
    .or_else(|| groups_of(peers.unwrap_or(0), groups))
}

/// Every voter is in one group.
fn groups_of(peers: u32, groups: &[Vec<u32>]) -> Option<String> {
    let in_groups = |sid: u32| groups.iter().flatten().filter(|one| **one == sid).count();
    let wrong = |sid: u32| match in_groups(sid) {
        _ if groups.is_empty() => None,
        1 => None,
        0 => Some(format!("server {sid} votes and is in no group")),
        _ => Some(format!("server {sid} is in more than one group")),
    };
    if groups.iter().any(Vec::is_empty) {
        return Some("a group has nobody in it".to_owned());
    }
    let stranger = groups.iter().flatten().find(|sid| !(1..=peers).contains(*sid));
    let stranger = stranger.map(|sid| format!("server {sid} is in a group and does not vote"));
    stranger.or_else(|| (1..=peers).find_map(wrong))
}

/// The fault that a step brings, if it brings one.
fn fault_of(step: &Step) -> Option<&Fault> {
    match step {
        Step::Fault(fault) | Step::FaultAt { fault, .. } | Step::FaultWhen { fault, .. } => {
            Some(fault)
        }
        _ => None,
    }
}

fn too_much(what: u64, most: u64) -> Option<String> {
    (what > most).then(|| format!("{what} is too much; at most {most} can be simulated"))
}

fn step(scenario: &Scenario, step: &Step) -> Option<String> {
    let alone = scenario.peers.is_none();
    let needs = |lacks: bool, what: &str| lacks.then(|| format!("it needs {what}"));
    let clients = || needs(scenario.clients == 0, "clients");
    match step {
        Step::Requests(count) => too_much(*count, MANY).or_else(clients),
        Step::ExpectService(ms) | Step::ExpectSessions(ms) => {
            too_much(*ms, TIME_MS).or_else(clients)
        }
        Step::ExpectReads(ms) => too_much(*ms, TIME_MS)
            .or_else(clients)
            .or_else(|| needs(!scenario.read_only, "read_only = true")),
        Step::ExpectWrites(ms) => too_much(*ms, TIME_MS)
            .or_else(clients)
            .or_else(|| needs(alone, "an ensemble: say how many peers it has")),
        Step::AwaitLeader(ms) | Step::UntilLeader(ms) => too_much(*ms, TIME_MS)
            .or_else(|| needs(alone, "an ensemble: say how many peers it has")),
        Step::Run(ms) | Step::Idle(ms) => too_much(*ms, TIME_MS),
        Step::CrashAfter { skip, down, .. } => {
            too_much(*skip, MANY).or_else(|| too_much(*down, TIME_MS))
        }
        Step::FaultAt { fault: one, .. } | Step::Fault(one) => fault(scenario, one),
        Step::FaultWhen { fault: one, within, .. } => {
            too_much(*within, TIME_MS).or_else(|| fault(scenario, one))
        }
        Step::Rest | Step::Work | Step::ExpectAgreement => None,
    }
}

fn fault(scenario: &Scenario, fault: &Fault) -> Option<String> {
    let of_a_client = || (scenario.clients == 0).then(|| "there is no client".to_owned());
    match fault {
        Fault::Crash { down, .. } | Fault::Kill { down } => too_much(*down, TIME_MS),
        Fault::Stall(ms)
        | Fault::DiskFull(ms)
        | Fault::DiskStall(ms)
        | Fault::SnapshotStall(ms)
        | Fault::FilesFull { ms, .. } => too_much(*ms, TIME_MS),
        Fault::SlowDisk { delay, ms } => too_much((*delay).max(*ms), TIME_MS),
        Fault::WallJump(ms) => (ms.checked_abs().is_none_or(|far| far > JUMP_MS))
            .then(|| format!("the clock cannot jump by more than {JUMP_MS} ms")),
        Fault::Drift(parts) => (!(-900..=9000).contains(parts))
            .then(|| format!("a drift is from -900 to 9000 parts per thousand, not {parts}")),
        Fault::SlowReader { ms, .. } | Fault::Silence { ms, .. } | Fault::Linger { ms, .. } => {
            too_much(*ms, TIME_MS).or_else(of_a_client)
        }
        Fault::FsyncError | Fault::ReadError | Fault::Disconnect | Fault::Snapshot => None,
        _ if scenario.peers.is_none() => {
            Some("this is a fault of an ensemble: say how many peers it has".to_owned())
        }
        Fault::RestartAll { down, .. }
        | Fault::RollingRestart { down }
        | Fault::Wipe { down }
        | Fault::Damage { down, .. } => too_much(*down, TIME_MS),
        Fault::LyingFsync { ms, down } => too_much((*ms).max(*down), TIME_MS),
        Fault::Isolate(ms)
        | Fault::Partition { ms, .. }
        | Fault::OneWay { ms, .. }
        | Fault::Clog { ms, .. } => too_much(*ms, TIME_MS),
        Fault::SlowLink { delay, jitter, ms, .. } => {
            too_much((*delay).max(*jitter).max(*ms), TIME_MS)
        }
        Fault::StaleVotes { frames, .. } => too_much(u64::from(*frames), u64::from(CLIENTS)),
        Fault::Heal | Fault::Churn | Fault::HalfOpen { .. } | Fault::Corrupt { .. } => None,
    }
}

/// What is said of servers that are not there, a sentence for each. A run takes others for them, or nobody.
pub fn strays(scenario: &Scenario) -> Vec<String> {
    let servers = scenario.peers.unwrap_or(1) + scenario.observers;
    let mut said = Vec::new();
    let mut server = |sid: u32, instead: &str| {
        if !(1..=servers).contains(&sid) {
            said.push(format!("there is no server {sid}; {instead}"));
        }
    };
    scenario.old_votes.iter().for_each(|sid| server(*sid, "nobody has old votes for it"));
    for step in &scenario.steps {
        let (mut targets, fault) = (Vec::new(), fault_of(step));
        match step {
            Step::FaultAt { at, .. } | Step::CrashAfter { at: Some(at), .. } => targets.push(*at),
            _ => {}
        }
        match fault {
            Some(
                Fault::OneWay { from, to, .. }
                | Fault::Clog { from, to, .. }
                | Fault::SlowLink { from, to, .. }
                | Fault::StaleVotes { from, to, .. }
                | Fault::Corrupt { from, to },
            ) => targets.extend([*from, *to]),
            Some(Fault::HalfOpen { gone, stays }) => targets.extend([*gone, *stays]),
            Some(Fault::Partition { groups, .. }) => {
                groups.iter().flatten().for_each(|sid| server(*sid, "nobody is cut off for it"));
            }
            _ => {}
        }
        for target in targets {
            if let Target::Sid(sid) = target {
                server(sid, "another one is taken for it");
            }
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kin;

    fn of(head: &str, steps: &str) -> Scenario {
        let text = format!("story = 'x'\nseed = 1\n{head}\nsteps = [{steps}]");
        Scenario::parse(&text).expect("it is a scenario")
    }

    #[test]
    fn what_no_run_can_be_made_of_is_told() {
        for (head, steps, why) in [
            ("peers = 0", "", "peers is 0"),
            ("peers = 8\nobservers = 2", "", "10 servers"),
            ("peers = 4294967295\nobservers = 1", "", "servers; at most"),
            ("observers = 1", "", "how many peers"),
            ("clients = 4294967295", "", "4294967295 clients"),
            ("pipeline = 0", "", "pipeline is 0"),
            ("reap_every = 0", "", "reap_every"),
            ("rounds = 0", "", "rounds is 0"),
            ("rounds = 1001", "", "rounds is 1001"),
            ("peers = 3\ngroups = [[]]", "", "nobody in it"),
            ("peers = 3\ngroups = [[1, 2], [2, 3]]", "", "server 2 is in more than one"),
            ("peers = 3\ngroups = [[1, 2]]", "", "server 3 votes and is in no"),
            ("peers = 2\ngroups = [[1, 2, 9]]", "", "server 9 is in a group"),
            ("", "'rest', { await-leader = 1000 }", "step 2: it needs an ensemble"),
            ("", "{ expect-writes = 1000 }", "step 1: it needs an ensemble"),
            ("", "{ expect-reads = 1000 }", "read_only = true"),
            ("clients = 0", "{ requests = 5 }", "it needs clients"),
            ("clients = 0", "{ fault = { silence = { client = 0, ms = 5 } } }", "no client"),
            ("", "{ fault = 'churn' }", "fault of an ensemble"),
            ("", "{ run = 9223372036854775807 }", "too much"),
            ("", "{ fault = { drift = -1000 } }", "-1000"),
            ("", "{ fault = { wall-jump = -9223372036854775808 } }", "cannot jump"),
            ("", "{ fault-at = { at = 1, fault = { stall = 9223372036854775807 } } }", "too much"),
        ] {
            let said = nonsense(&of(head, steps)).unwrap_or_default();
            assert!(said.contains(why), "{head} {steps}: {said:?}");
        }
        assert_eq!(nonsense(&of("clients = 0", "{ run = 5 }")), None);
        let huge = Scenario { seed: u64::MAX, ..of("", "") };
        assert!(nonsense(&huge).is_some_and(|said| said.starts_with("seed is more")));
    }

    #[test]
    fn every_seed_of_the_swarm_makes_sense() {
        for kin in [Kin::Alone, Kin::Ensemble] {
            for seed in 0..500 {
                let scenario = kin.scenario(seed);
                let strays = strays(&scenario);
                assert_eq!(nonsense(&scenario), None, "{kin}, seed {seed}");
                assert!(strays.is_empty(), "{kin}, seed {seed}: {strays:?}");
            }
        }
    }

    #[test]
    fn strays_are_told() {
        let steps = "{ fault-at = { at = 4, fault = 'snapshot' } }, { fault = { one-way = { from = 1, to = 7 } } }, \
                     { fault = { partition = { groups = [[1], [2, 5]] } } }, \
                     { fault-at = { at = 3, fault = 'snapshot' } }";
        let said = strays(&of("peers = 3", steps));
        let whom = ["server 4", "server 7", "server 5"];
        assert_eq!(said.len(), whom.len(), "{said:?}");
        for (said, whom) in said.iter().zip(whom) {
            assert!(said.contains(whom), "{said}");
        }
    }
}
