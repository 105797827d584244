//! Faults where chance alone seldom puts them: a server is young, an election is under way, histories are being brought
//! level. Something makes that moment come; the fault waits for it. All drawn from streams of their own.

use super::{
    ENSEMBLE_FAULTS, FAULTS, KEEPS, at, down, ensemble_fault, fault, forget, one_server, someone,
    take_the_leader,
};
use crate::coverage::Moment;
use crate::rng::Rng;
use crate::scenario::{Fault, Files, Step, Target};

/// Some runs of one server have one to three such faults.
pub(super) fn alone(seed: u64) -> Vec<Step> {
    let mut rng = Rng::new(seed, "moments");
    if rng.one_in(2) {
        return Vec::new();
    }
    let mut steps = Vec::new();
    for _ in 0..rng.between(1, 3) {
        let moments = [Moment::Recovering, Moment::Snapshot, Moment::AloneWriting, Moment::Down];
        let moment = *rng.pick(&moments);
        let keep = *rng.pick(&KEEPS);
        steps.extend(match moment {
            Moment::Recovering => {
                Some(Step::Fault(Fault::Crash { keep, down: rng.between(1, 300) }))
            }
            Moment::Down => Some(Step::Fault(Fault::Kill { down: rng.between(500, 3_000) })),
            Moment::Snapshot => Some(Step::Fault(Fault::Snapshot)),
            _ => None,
        });
        let drawn = match (rng.below(6) > 1, fault(&[false; FAULTS as usize], &mut rng)) {
            (true, Step::Fault(fault)) => fault,
            (true, _) => files_full(&mut rng),
            _ => Fault::Crash { keep: *rng.pick(&KEEPS), down: rng.between(10, 2_000) },
        };
        steps.push(Step::FaultWhen { moment, fault: drawn, within: 2_000 });
        steps.push(Step::Requests(rng.between(1, 60)));
    }
    steps
}

/// Some ensembles have one to three such faults.
pub(super) fn together(seed: u64, servers: u32, observers: bool, read_only: bool) -> Vec<Step> {
    let mut rng = Rng::new(seed, "moments");
    let comes = |moment: &Moment| match moment {
        Moment::Alone | Moment::AloneWriting => false,
        Moment::Observes => observers,
        Moment::ReadOnly => read_only,
        _ => true,
    };
    let moments: Vec<Moment> = Moment::ALL.into_iter().filter(comes).collect();
    let mut steps = Vec::new();
    for _ in 0..rng.below(4) {
        let moment = *rng.pick(&moments);
        steps.extend(cause(moment, servers, &mut rng));
        let fault = any(servers, &mut rng);
        steps.push(Step::FaultWhen { moment, fault, within: 5_000 });
        if rng.one_in(3) {
            let fault = any(servers, &mut rng);
            steps.push(Step::FaultWhen { moment, fault, within: 1_000 });
        }
        steps.push(Step::Requests(rng.between(1, 60)));
    }
    steps
}

/// What makes the moment come, where it does not come by itself.
fn cause(moment: Moment, servers: u32, rng: &mut Rng) -> Option<Step> {
    Some(match moment {
        Moment::Down | Moment::Recovering => {
            at(someone(servers, rng), Fault::Kill { down: rng.between(100, 3_000) })
        }
        Moment::Snapshot => at(someone(servers, rng), Fault::Snapshot),
        Moment::Election
        | Moment::ReadOnly
        | Moment::LeaderDiscovery
        | Moment::LeaderSynchronization => match rng.below(4) {
            0 => Step::Fault(Fault::RestartAll { keep: *rng.pick(&KEEPS), down: 200 }),
            1 => Step::Fault(Fault::Churn),
            _ => take_the_leader(rng),
        },
        Moment::LearnerDiscovery | Moment::LearnerSynchronization | Moment::LearnerTree => {
            match rng.below(4) {
                0 => Step::Fault(Fault::Churn),
                1 => take_the_leader(rng),
                _ => {
                    let sid = Target::Sid(rng.between(1, u64::from(servers)) as u32);
                    at(sid, Fault::Crash { keep: *rng.pick(&KEEPS), down: down(rng) })
                }
            }
        }
        Moment::Alone
        | Moment::AloneWriting
        | Moment::Leads
        | Moment::LeadsWriting
        | Moment::Follows
        | Moment::FollowsWriting
        | Moment::Observes => return None,
    })
}

/// One of the two file systems has no room.
fn files_full(rng: &mut Rng) -> Fault {
    let files = *rng.pick(&[Files::Logs, Files::Snapshots]);
    Fault::FilesFull { files, ms: rng.between(500, 8_000) }
}

/// Any fault there is.
fn any(servers: u32, rng: &mut Rng) -> Fault {
    let client = rng.below(6) as u32;
    match rng.below(12) {
        0..=2 => Fault::Crash { keep: *rng.pick(&KEEPS), down: down(rng) },
        3..=6 => one_server(rng.between(2, 11), rng),
        7 if rng.one_in(2) => Fault::SnapshotStall(rng.between(5, 4_000)),
        7 => files_full(rng),
        8 => forget(rng.between(10, 3_000), rng),
        9 => match rng.below(4) {
            0 => Fault::Disconnect,
            1 => Fault::SlowReader { client, ms: rng.between(100, 5_000) },
            2 => Fault::Linger { client, ms: rng.between(1, 3_000) },
            _ => Fault::Silence { client, ms: rng.between(1_000, 60_000) },
        },
        _ => {
            match ensemble_fault(&[false; ENSEMBLE_FAULTS as usize], servers, rng, &mut rng.clone())
            {
                Step::Fault(fault) | Step::FaultAt { fault, .. } => fault,
                _ => Fault::Churn,
            }
        }
    }
}
