//! Every place at which power may be lost: behind each effect of each server of a scenario, a clone of the world loses
//! the power of that server, in each way in which a disk may come out of it, and has to come to a good end.

use crate::run::{Visit, world};
use crate::seeds::thread_cpu_ns;
use crate::violation::Violation;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use zoetrope_core::SyncBranch;
use zoetrope_io_sim::{Fault, Judge, Keep, Mistake, Scenario, Step, Verdict, World};

/// What a loss of power leaves of what was not synced.
const KEEPS: [Keep; 5] = [Keep::Nothing, Keep::All, Keep::Torn, Keep::Some, Keep::Garbage];
/// The machine is off for so long, ms.
const DOWN_MS: u64 = 1;
/// The world has to come to a good end within that time, ms. An ensemble that has lost a leader needs less.
const PATIENCE_MS: u64 = 60_000;

/// What a sweep has found.
#[derive(Clone, Default, Debug)]
pub struct Swept {
    /// Effects that servers had when the scenario was played.
    pub found: u64,
    /// Those behind which power was lost, in each way.
    pub covered: u64,
    /// Worlds that were played to their end.
    pub continuations: u64,
    /// Ways in which learners were brought level while the scenario was played.
    pub branches: BTreeSet<SyncBranch>,
    /// CPU time of all that, ns.
    pub cpu_ns: u64,
    /// Those that came to no good end.
    pub failures: Vec<Fall>,
}

/// Why a scenario was not swept.
#[derive(Clone, Debug)]
pub enum Unswept {
    /// It is none that can be.
    Unfit(String),
    /// It breaks a promise by itself, before a sweep of it would say anything.
    Fails(Violation),
}

/// A loss of power that came to no good end.
#[derive(Clone, Debug)]
pub struct Fall {
    /// Behind which effect, from 1.
    pub effect: u64,
    /// Simulated time of the effect, µs.
    pub at: u64,
    /// What was left.
    pub keep: Keep,
    /// What was broken.
    pub violation: Violation,
}

/// Why a scenario cannot be swept, if it cannot.
fn unfit(scenario: &Scenario) -> Option<String> {
    let forgets = |fault: &Fault| {
        matches!(fault, Fault::Wipe { .. } | Fault::Damage { .. } | Fault::LyingFsync { .. })
    };
    scenario.steps.iter().find_map(|step| match step {
        Step::Fault(fault) | Step::FaultAt { fault, .. } | Step::FaultWhen { fault, .. }
            if forgets(fault) => Some(format!(
            "{fault:?}: where a disk forgets what was synced, a further loss of power may lose what is committed"
        )),
        _ => None,
    })
}

/// Sweeps a scenario. `only`: behind that effect alone. `told` hears which effect is next.
pub fn sweep(
    scenario: &Scenario,
    mistake: Mistake,
    only: Option<u64>,
    told: impl Fn(u64) + 'static,
) -> Result<Swept, Unswept> {
    if let Some(why) = unfit(scenario) {
        return Err(Unswept::Unfit(why));
    }
    let sweep = Sweep { steps: scenario.all_steps(), only, told: Box::new(told) };
    world(scenario, mistake, sweep)
}

struct Sweep {
    steps: Vec<Step>,
    only: Option<u64>,
    told: Box<dyn Fn(u64)>,
}

impl Visit for Sweep {
    type Out = Result<Swept, Unswept>;

    fn visit<J: Judge + Clone>(self, mut world: World<J>) -> Self::Out {
        let before = thread_cpu_ns();
        let swept = Rc::new(RefCell::new(Swept::default()));
        let (here, only, told) = (swept.clone(), self.only, self.told);
        world.watch(move |world| branch_off(world, only, &*told, &mut here.borrow_mut()));
        let outcome = world.play(&self.steps);
        if let Some(violation) = outcome.violation {
            return Err(Unswept::Fails(Violation::of_judge(violation)));
        }
        let mut swept = swept.borrow().clone();
        swept.found = world.effects();
        swept.branches = outcome.figures.branches;
        swept.cpu_ns = thread_cpu_ns() - before;
        Ok(swept)
    }
}

/// The next event may have effects: every way to lose power behind each of them.
fn branch_off<J: Judge + Clone>(
    world: &World<J>,
    only: Option<u64>,
    told: &dyn Fn(u64),
    swept: &mut Swept,
) -> Verdict {
    let first = world.effects();
    let mut ahead = world.clone();
    ahead.happen()?;
    for effect in first + 1..=ahead.effects() {
        if only.is_some_and(|only| only != effect) {
            continue;
        }
        told(effect);
        for keep in KEEPS {
            let mut branch = world.clone();
            branch.crash_behind(effect - first, keep, DOWN_MS);
            let verdict = fall_and_rise(&mut branch);
            swept.continuations += 1;
            if let Err(text) = verdict {
                let violation = Violation::of_judge(text);
                swept.failures.push(Fall { effect, at: world.now(), keep, violation });
            }
        }
        swept.covered += 1;
    }
    Ok(())
}

fn fall_and_rise<J: Judge>(branch: &mut World<J>) -> Verdict {
    branch.happen()?;
    if branch.has_crash_ahead() {
        return Err("the effect behind which power is to be lost does not come again".to_owned());
    }
    branch.conclude(PATIENCE_MS)
}
