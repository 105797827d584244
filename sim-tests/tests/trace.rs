//! The trace of a run: it changes nothing, and whatever arrives was sent.

use sim_tests::{Visit, judge_scenario, watched};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use zoetrope_core::Sid;
use zoetrope_io_sim::{
    Event, Judge, Lane, Mistake, Outcome, Record, Scenario, Step, What, World, swarm,
    swarm_ensemble,
};

#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<Event>>>);

impl Record for Events {
    fn record(&mut self, event: Event) {
        self.0.lock().expect("nobody panics with it").push(event);
    }
}

struct Play(Vec<Step>);

impl Visit for Play {
    type Out = Outcome;

    fn visit<J: Judge + Clone>(self, mut world: World<J>) -> Outcome {
        world.play(&self.0)
    }
}

fn trace(scenario: &Scenario) -> (Outcome, Vec<Event>) {
    let events = Events::default();
    let outcome = watched(scenario, Mistake::None, events.clone(), Play(scenario.steps.clone()));
    let all = std::mem::take(&mut *events.0.lock().expect("nobody panics with it"));
    (outcome, all)
}

#[test]
fn who_is_watched_does_the_same() {
    for scenario in [swarm(1), swarm_ensemble(2)] {
        let (outcome, events) = trace(&scenario);
        assert_eq!(outcome.trace, judge_scenario(&scenario, Mistake::None).trace);
        assert!(events.len() > 2_000, "{} events", events.len());
        assert!(events.is_sorted_by_key(|event| event.now));
        assert_eq!(trace(&scenario).1, events);
    }
}

/// Who is where, and what is said of it.
fn name(sid: Sid) -> String {
    format!("server {sid}")
}

#[test]
fn whatever_arrives_was_sent() {
    let (_, events) = trace(&swarm_ensemble(3));
    let (mut sent, mut heard, mut frames) = (BTreeMap::new(), 0, BTreeMap::new());
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for event in &events {
        let lane = event.lane.to_string();
        match &event.what {
            What::Sent(message) => {
                *kinds.entry(message.name).or_default() += 1;
                let key = (message.from, message.number);
                sent.insert(key, (lane, name(message.other), message.clone()));
            }
            // Old votes that are heard again were sent before this link was there.
            What::Heard(message) if message.name != "VOTE" => {
                heard += 1;
                let (from, to, was) = &sent[&(message.from, message.number)];
                assert_eq!((from, to), (&name(message.other), &lane), "{event}");
                assert_eq!(
                    (was.name, was.zxid, &was.detail),
                    (message.name, message.zxid, &message.detail)
                );
            }
            What::Asks(frame) => {
                drop(frames.insert((frame.conn, frame.number), frame.text.clone()))
            }
            What::Takes(frame) => assert_eq!(frames[&(frame.conn, frame.number)], frame.text),
            _ => {}
        }
    }
    println!("{heard} messages: {kinds:?}");
    for kind in ["VOTE", "LEADERINFO", "PROPOSAL", "ACK", "COMMIT", "UPTODATE", "PING", "REQUEST"] {
        assert!(kinds.contains_key(kind), "no {kind}");
    }
    let garbled = |event: &Event| {
        let (What::Sent(message) | What::Heard(message)) = &event.what else { return false };
        let well = message.name == "VOTE" || message.detail.starts_with("CreateSession");
        well && message.detail.contains("cannot be read")
    };
    assert_eq!(events.iter().find(|event| garbled(event)), None);
}

/// A fault, the loss of power and the new process stand in the trace, at their server.
#[test]
fn faults_and_what_comes_of_them_are_seen() {
    let text = "story = 'A crash.'\nseed = 1\npeers = 3\nsteps = [{ await-leader = 30000 }, { requests = 20 }, \
                { fault-at = { at = 2, fault = { crash = { keep = 'all', down = 50 } } } }, { run = 200 }]";
    let scenario = Scenario::parse(text).expect("it is a scenario");
    let (outcome, events) = trace(&scenario);
    assert_eq!(outcome.violation, None);
    let at_two: Vec<&What> =
        events.iter().filter(|e| e.lane == Lane::Server(Sid(2))).map(|e| &e.what).collect();
    let place =
        |is: fn(&What) -> bool| at_two.iter().rposition(|what| is(what)).expect("it is there");
    let fault = place(|what| matches!(what, What::Fault(_)));
    let lost = place(|what| matches!(what, What::PowerLost(_)));
    let gone = place(|what| matches!(what, What::Gone));
    let booted = place(|what| matches!(what, What::Booted));
    assert!(fault < lost && lost < gone && gone < booted, "{fault} {lost} {gone} {booted}");
}
