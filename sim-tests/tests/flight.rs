//! The flight recorder: a copy of a running server goes on as the server would have, and a recording replays to the same
//! effects, whatever happened to its server and whatever happens to the file.

use sim_tests::{Visit, judge_scenario, world};
use std::collections::BTreeSet;
use zoetrope_core::flight::{End, Replay, Step, Unreadable};
use zoetrope_io_sim::{
    Judge, Mistake, Outcome, Rng, Scenario, Step as Deed, World, swarm, swarm_ensemble,
};

struct Record {
    steps: Vec<Deed>,
    seed: u64,
    replace: bool,
}

impl Visit for Record {
    type Out = (Outcome, Vec<Vec<u8>>);

    fn visit<J: Judge + Clone>(self, mut world: World<J>) -> Self::Out {
        world.record_flights(self.seed, self.replace);
        let outcome = world.play(&self.steps);
        (outcome, world.flights().map(|(_, file)| file.to_vec()).collect())
    }
}

fn record(scenario: &Scenario, replace: bool) -> (Outcome, Vec<Vec<u8>>) {
    let (steps, seed) = (scenario.steps.clone(), scenario.seed);
    world(scenario, Mistake::None, Record { steps, seed, replace })
}

fn scenarios(alone: u64, ensembles: u64) -> impl Iterator<Item = Scenario> {
    (0..alone).map(swarm).chain((0..ensembles).map(swarm_ensemble))
}

#[test]
fn a_server_that_is_replaced_by_its_copy_goes_on_as_it_would_have() {
    let mut copies = 0;
    for scenario in scenarios(2, 3) {
        let (outcome, files) = record(&scenario, true);
        let usual = judge_scenario(&scenario, Mistake::None);
        let seed = scenario.seed;
        assert_eq!(
            (outcome.violation, outcome.trace),
            (usual.violation, usual.trace),
            "seed {seed}"
        );
        let copied =
            |file: &&Vec<u8>| Replay::open(file).is_ok_and(|f| !f.begins_with_the_process());
        copies += files.iter().filter(copied).count();
    }
    println!("{copies} servers went on as their copies");
    assert!(copies > 500, "{copies} copies");
}

/// What a file had in it.
#[derive(Default, Debug)]
struct Held {
    inputs: u64,
    turns: u64,
    checkpoints: u64,
    /// It says why it ends.
    end: Option<End>,
}

fn replay(file: &[u8]) -> Held {
    let mut replay = Replay::open(file).expect("the beginning is whole");
    let mut held = Held::default();
    while let Some(step) = replay.step() {
        match step {
            Step::Input(_) => held.inputs += 1,
            Step::Turn => {}
            Step::Same => held.turns += 1,
            Step::Checkpoint => held.checkpoints += 1,
            Step::End(why) => held.end = Some(why),
            Step::Cut(at, why) => assert_eq!((at, why), (file.len(), "the file ends")),
            Step::Differs(..) | Step::Elsewhere(..) => panic!("at byte {}: {step:?}", replay.at()),
        }
    }
    held
}

#[test]
fn every_recording_replays_to_the_same_effects() {
    let (mut files, mut all) = (0, Held::default());
    let mut ends = BTreeSet::new();
    for scenario in scenarios(2, 3) {
        for file in record(&scenario, false).1 {
            let held = replay(&file);
            files += 1;
            all.inputs += held.inputs;
            all.turns += held.turns;
            all.checkpoints += held.checkpoints;
            ends.insert(held.end.map(|end| format!("{end:?}")));
        }
    }
    println!("{files} files, {all:?}");
    assert!(files > 500 && all.inputs > 100_000 && all.checkpoints > 1_000, "{files} {all:?}");
    assert_eq!(ends.len(), 2, "{ends:?}");
}

/// Replays what there is of a file; how many steps that was.
fn replay_damaged(file: &[u8]) -> Result<usize, Unreadable> {
    let mut replay = Replay::open(file)?;
    let mut steps = 0;
    while let Some(step) = replay.step() {
        let wrong = matches!(step, Step::Differs(..) | Step::Elsewhere(..));
        assert!(!wrong, "damage was believed: {step:?}");
        steps += 1;
    }
    Ok(steps)
}

#[test]
fn a_damaged_recording_replays_up_to_the_damage() {
    let mut rng = Rng::new(1, "damage");
    let (mut shorter, mut none) = (0, 0);
    for scenario in scenarios(1, 1) {
        for file in record(&scenario, false).1.iter().take(12) {
            let whole = replay_damaged(file).expect("the file is whole");
            for _ in 0..6 {
                let mut bytes = file.clone();
                let at = rng.below(bytes.len() as u64) as usize;
                match rng.below(3) {
                    0 => bytes.truncate(at),
                    1 => bytes[at] ^= 1 << rng.below(8),
                    _ => {
                        let end = bytes.len().min(at + 512);
                        bytes[at..end].iter_mut().for_each(|byte| *byte = rng.draw() as u8);
                    }
                }
                match replay_damaged(&bytes) {
                    Ok(steps) => {
                        assert!(steps <= whole, "{steps} of {whole}");
                        shorter += 1;
                    }
                    Err(_) => none += 1,
                }
            }
        }
    }
    println!("{shorter} replayed up to the damage, {none} not at all");
    assert!(shorter > 20 && none > 5, "{shorter} {none}");
}

/// CRC-32 as zip has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg())
        })
    })
}

/// Where the body of each record is: behind its length and its checksum.
fn bodies(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut at = 9 + usize::from(file[8]);
    let mut all = Vec::new();
    while let Some(len) = file.get(at..at + 4) {
        let len = u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
        all.push(at + 8..at + 8 + len);
        at += 8 + len;
    }
    all
}

/// Runs `zoetrope-sim journal`: what it says, and its exit code.
fn journal(args: &[&str]) -> (String, i32) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_zoetrope-sim"));
    let output = command.arg("journal").args(args).output().expect("it is built");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("it is text");
    (text, output.status.code().expect("it ends by itself"))
}

#[test]
fn the_program_replays_a_directory_and_goes_to_any_moment() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("flight");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("the build directory can be written");
    let files: Vec<Vec<u8>> = record(&swarm_ensemble(1), false).1.into_iter().take(5).collect();
    let path = |name: &str| dir.join(name).to_str().expect("it is text").to_owned();
    for (number, file) in files.iter().enumerate() {
        std::fs::write(path(&format!("{number}.flight")), file).expect("it can be written");
    }
    let (said, code) = journal(&[&path("")]);
    assert!(code == 0 && said.matches(", all equal").count() == 5, "{code}: {said}");
    let first = path("0.flight");
    let (said, code) = journal(&[&first, "--at", "#40", "--znode", "/"]);
    assert!(code == 0 && said.contains("event #40, 2023-11-14T"), "{code}: {said}");
    assert!(said.contains("role ") && said.contains("czxid 0x0"), "{said}");
    let (said, code) = journal(&[&first, "--at", "2040-01-01T00:00:00Z"]);
    assert!(code == 2 && said.contains("is not in it"), "{code}: {said}");
    let (said, code) = journal(&[&first, "--at", "2001-01-01T00:00:00Z"]);
    assert!(code == 2 && said.contains("was before"), "{code}: {said}");
    let (said, code) = journal(&[&first, "--znode", "/"]);
    assert!(code == 0 && said.contains("czxid 0x0"), "{code}: {said}");
    let page = path("page.html");
    let (said, code) = journal(&[&first, "--view", &page]);
    assert!(code == 0 && said.contains(" events, "), "{code}: {said}");
    let html = std::fs::read_to_string(&page).expect("it was written");
    assert!(html.contains("server 1"), "no lane of the server");

    // One turn is said to have come to something else, with the right checksum.
    let mut bad = files[0].clone();
    let did = bodies(&bad).into_iter().filter(|body| bad[body.start] == 7).nth(20);
    let body = did.expect("there are turns");
    bad[body.end - 1] ^= 1;
    let sum = crc32(&bad[body.clone()]);
    bad[body.start - 4..body.start].copy_from_slice(&sum.to_le_bytes());
    let other = path("other");
    std::fs::write(&other, &bad).expect("it can be written");
    let (said, code) = journal(&[&other]);
    assert!(code == 1 && said.contains("DIFFERS: event #"), "{code}: {said}");

    let mut bad = files[0].clone();
    bad[9] = b'9';
    std::fs::write(&other, &bad).expect("it can be written");
    let (said, code) = journal(&[&other]);
    assert!(code == 2 && said.contains("recorded by 9.1.0 (core "), "{code}: {said}");
    std::fs::write(&other, &files[0][..files[0].len() - 3]).expect("it can be written");
    let (said, code) = journal(&[&other]);
    assert!(code == 0 && said.contains("ends in the middle of a record"), "{code}: {said}");
}
