//! The program `zoetrope-sim`, as its users see it: what it prints, what it writes, how it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What it printed, and its exit code.
fn sim(args: &[&str]) -> (String, i32) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zoetrope-sim"));
    let output = command.args(args).env_remove("JOB_COMPLETION_INDEX").output();
    let output = output.expect("it is built");
    let text = [output.stdout, output.stderr].concat();
    let code = output.status.code().expect("it ends by itself");
    (String::from_utf8(text).expect("it is text"), code)
}

/// A file of this test's own.
fn file(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
    std::fs::create_dir_all(&dir).expect("the build directory can be written");
    dir.join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("it is text")
}

fn scenario(name: &str) -> String {
    format!("{}/../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_scenario_and_a_seed_are_replayed() {
    let (said, code) = sim(&["replay", &scenario("torn_last_record")]);
    assert!(said.contains("every promise was kept") && code == 0, "{code}: {said}");
    let (said, code) = sim(&["replay", "--seed", "3", "--alone", "--seeds", "2"]);
    assert!(said.contains("0 of 2 runs") && code == 0, "{code}: {said}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let (said, code) = sim(&["replay", "nowhere.toml"]);
    assert!(said.contains("nowhere.toml") && code == 2, "{code}: {said}");
    assert_eq!(sim(&["replay"]).1, 2);
    assert_eq!(sim(&["run", "--shards", "3"]).1, 2);
    let mistake = ["--mistake", "replies-out-of-order"];
    let (said, code) = sim(&[&["run", "--alone", "--seeds", "4"][..], &mistake[..]].concat());
    assert!(said.contains("safety violation") && code == 1, "{code}: {said}");
    let late = file("late.toml");
    let steps = "story = 'No leader in a millisecond.'\nseed = 1\npeers = 3\nsteps = [{ await-leader = 1 }]";
    std::fs::write(&late, steps).expect("it can be written");
    let (said, code) = sim(&["replay", text(&late)]);
    assert!(said.contains("liveness violation: L1") && code == 3, "{code}: {said}");
}

/// The line that `run` prints for a failure shows it again.
#[test]
fn a_failure_is_replayed_by_the_line_that_tells_it() {
    let mistake = ["--mistake", "replies-out-of-order"];
    let (said, code) = sim(&[&["run", "--ensemble", "--seeds", "2"][..], &mistake[..]].concat());
    assert_eq!(code, 1, "{said}");
    let line = said.lines().find_map(|line| line.split_once("replay: zoetrope-sim "));
    let args: Vec<&str> = line.expect("a failure has its line").1.split(' ').collect();
    let (again, code) = sim(&args);
    let violation = |text: &str| {
        text.lines().next().and_then(|l| l.split_once("violation: ").map(|v| v.1.to_owned()))
    };
    assert_eq!(code, 1);
    assert_eq!(violation(&again), violation(&said));
}

#[test]
fn shards_are_merged_and_nothing_is_counted_twice() {
    let (one, two, sum) = (file("one.toml"), file("two.toml"), file("sum.toml"));
    let run = |shard: &str, out: &Path| {
        sim(&["run", "--alone", "--seeds", "4..10", "--shard", shard, "--out", text(out)])
    };
    assert_eq!((run("0/2", &one).1, run("1/2", &two).1), (0, 0));
    let table = file("sum.md");
    let files = ["--out", text(&sum), "--coverage", text(&table)];
    let (said, code) = sim(&[&["merge", text(&one), text(&two)], &files[..]].concat());
    assert!(said.contains("6 runs, 0 broke a promise") && code == 0, "{code}: {said}");
    let table = std::fs::read_to_string(table).expect("it was written");
    assert!(table.contains("in 6 runs of the swarm") && table.contains("| kill |"), "{table}");
    let (said, code) = sim(&["merge", text(&sum), text(&two)]);
    assert!(said.contains("counted twice") && code == 2, "{code}: {said}");
    let odd = file("odd-one.toml");
    let out = ["--mistake", "replies-out-of-order", "--out", text(&odd)];
    assert_eq!(sim(&[&["run", "--alone", "--seeds", "20..22"][..], &out[..]].concat()).1, 1);
    let (said, code) = sim(&["merge", text(&odd)]);
    assert!(said.contains("--alone --mistake replies-out-of-order") && code == 1, "{code}: {said}");
    let (said, code) = sim(&["merge", text(&odd), text(&two)]);
    assert!(said.contains("with the mistakes") && code == 2, "{code}: {said}");
    assert_eq!(sim(&["merge", &scenario("torn_last_record")]).1, 2);
}

#[test]
fn a_run_can_be_stopped_and_followed_step_by_step() {
    let story = scenario("follower_loses_power_between_ack_and_fsync");
    let (said, code) = sim(&["replay", &story, "--until", "1s"]);
    assert!(said.contains("server 2: ") && said.contains("applied 0x1000000"), "{code}: {said}");
    let (said, code) = sim(&["replay", &story, "--until", "200ms", "--step", "--from", "100ms"]);
    assert_eq!(code, 0);
    let times = said.lines().filter_map(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    let times: Vec<f64> = times.collect();
    assert!(times.len() > 100, "{} events", times.len());
    assert!(times.iter().all(|time| (0.1..0.2).contains(time)) && times.is_sorted());
}

#[test]
fn two_runs_are_compared_event_by_event() {
    let story = scenario("follower_loses_power_between_ack_and_fsync");
    let (said, code) = sim(&["diff", &story, &story]);
    assert!(said.contains("all of them equal") && code == 0, "{code}: {said}");
    let (said, _) = sim(&["diff", &story, &story, "--mistake", "replies-out-of-order"]);
    let [first, second] = said
        .lines()
        .filter_map(|line| line.strip_prefix("  > "))
        .collect::<Vec<_>>()
        .try_into()
        .expect("each run has its next event");
    assert!(first != second && first.contains("answers") && second.contains("answers"), "{said}");
    let saved = file("steps.txt");
    std::fs::write(&saved, sim(&["replay", &story, "--step"]).0).expect("it can be written");
    let (said, _) = sim(&["diff", text(&saved), &story]);
    assert!(said.contains("all of them equal"), "{said}");
    let (said, code) = sim(&["diff", text(&file("no-events.txt")), &story]);
    assert!(said.contains("no-events.txt") && code == 2, "{said}");
}

#[test]
fn what_the_simulator_does_per_second_is_measured() {
    let (said, code) = sim(&["bench", "--requests", "400", "--hours", "1", "--seeds", "1"]);
    assert_eq!(code, 0, "{said}");
    for line in
        ["seeds: ", "busy, un-batched: ", "busy, 16 x 16: ", "busy, 16 x 16 writes: ", "idle: "]
    {
        let line = said.lines().find_map(|l| l.strip_prefix(line)).expect("it is measured");
        let figure = line.split(' ').next().and_then(|number| number.parse::<f64>().ok());
        assert!(figure.is_some_and(|figure| figure > 0.0), "{said}");
    }
}

#[test]
fn the_disk_of_a_simulated_server_is_written_out() {
    let (dir, again) = (file("disk"), file("disk-again"));
    let run = |dir: &Path| sim(&["files", text(dir), "--seconds", "6"]);
    let (said, code) = run(&dir);
    assert!(said.contains("5 crashes") && code == 0, "{code}: {said}");
    run(&again);
    let names = |dir: &Path| {
        let entries = std::fs::read_dir(dir.join("version-2")).expect("it is there");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("a name").file_name()).collect();
        names.sort();
        names
    };
    assert!(names(&dir).len() >= 2 && names(&dir) == names(&again));
    for name in names(&dir) {
        let bytes =
            |dir: &Path| std::fs::read(dir.join("version-2").join(&name)).expect("it is there");
        assert!(bytes(&dir) == bytes(&again), "{name:?} differs");
    }
}

#[test]
fn a_scenario_is_swept() {
    let few = file("few.toml");
    let steps =
        "story = 'A few writes.'\nseed = 1\nclients = 1\npipeline = 1\nsteps = [{ requests = 5 }]";
    std::fs::write(&few, steps).expect("it can be written");
    let (said, code) = sim(&["sweep", text(&few)]);
    let figure = |word: &str| {
        let rest = said.split_once(word).expect("it is told").1;
        rest.split([',', ';', ' ']).next().and_then(|n| n.parse::<u64>().ok())
    };
    assert!(
        code == 0 && figure("found ") == figure("covered ") && figure("found ") > Some(10),
        "{said}"
    );
    let (said, code) = sim(&["sweep", text(&few), "--effect", "12", "--mistake", "no-fsync-wait"]);
    assert!(said.contains("behind effect 12") && code == 1, "{code}: {said}");
    let wiped = file("wiped.toml");
    let steps = "story = 'A wipe.'\nseed = 1\npeers = 3\nsteps = [{ fault = { wipe = {} } }]";
    std::fs::write(&wiped, steps).expect("it can be written");
    assert_eq!(sim(&["sweep", text(&wiped)]).1, 2);
}

#[test]
fn a_failure_is_shrunk_to_a_file_that_fails_the_same_way() {
    for (kin, seed, mistake) in [
        ("--alone", "3", "no-fsync-wait"),
        ("--alone", "0", "replies-out-of-order"),
        ("--ensemble", "1", "no-epoch-wait"),
    ] {
        let small = file(&format!("{mistake}.toml"));
        let subject = ["shrink", "--seed", seed, kin, "--mistake", mistake];
        let rest = ["-o", text(&small), "--backgrounds", "10", "--cpu", "20s"];
        let (said, code) = sim(&[&subject[..], &rest[..]].concat());
        println!("{said}");
        assert_eq!(code, 1, "{said}");
        let lines = std::fs::read_to_string(&small).expect("it was written");
        assert!(lines.lines().count() <= 12, "{lines}");
        let (again, code) = sim(&["replay", text(&small), "--mistake", mistake]);
        assert_eq!(code, 1, "{again}");
        let (clean, code) = sim(&["replay", text(&small)]);
        assert_eq!(code, 0, "{clean}");
    }
    let (said, code) = sim(&["shrink", "--seed", "3", "--alone"]);
    assert!(said.contains("nothing to shrink") && code == 0, "{code}: {said}");
}

#[test]
fn whoever_stops_reading_is_not_told_of_a_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_zoetrope-sim"))
        .args(["replay", &scenario("torn_last_record"), "--step"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it can be started");
    // Nobody reads a byte.
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0), "it kept every promise, be it read or not");
    assert!(ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// What was written before stays until there is something to write, and files that cannot be written are known before.
#[test]
fn nothing_is_lost_to_a_file_that_is_written_late() {
    let kept = file("kept.toml");
    std::fs::write(&kept, "what was there before").expect("it can be written");
    let (said, code) = sim(&["run", "--alone", "--for", "0s", "--out", text(&file("none.toml"))]);
    assert!(said.contains("no seed was run") && code == 2, "{code}: {said}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_zoetrope-sim"))
        .args(["run", "--for", "1h", "--jobs", "1", "--out", text(&kept)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started");
    std::thread::sleep(std::time::Duration::from_millis(200));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(std::fs::read_to_string(&kept).expect("it is there"), "what was there before");
    let mistake = ["--mistake", "replies-out-of-order"];
    let nowhere = file("no-directory").join("small.toml");
    let (said, code) =
        sim(&[&["shrink", "--seed", "0", "-o", text(&nowhere)][..], &mistake[..]].concat());
    assert!(said.contains("small.toml") && !said.contains("lines") && code == 2, "{code}: {said}");
    let (said, code) = sim(&["hunt", "no-fsync-wait", "--write", text(&kept)]);
    assert!(said.contains("does not say where") && code == 2, "{code}: {said}");
    let empty = file("empty.toml");
    std::fs::write(&empty, "").expect("it can be written");
    let (said, code) = sim(&["merge", text(&empty)]);
    assert!(said.contains("not come to an end") && code == 2, "{code}: {said}");
}

/// A file that names what cannot be is an error of the file, and not of the server.
#[test]
fn files_that_make_no_sense_are_told_apart_from_broken_promises() {
    let odd = file("odd.toml");
    for (rest, why) in [
        ("peers = 0\nsteps = []", "peers is 0"),
        ("steps = [{ run = 5 }, { await-leader = 1000 }]", "step 2: it needs an ensemble"),
        ("peers = 3\nsteps = [\n'heal',\n]", "line 5, column 1"),
        ("peers = 3\nsteps = [\n'heal',\n]", "{ fault = ... }"),
    ] {
        std::fs::write(&odd, format!("story = 'x'\nseed = 1\n{rest}")).expect("it can be written");
        for command in ["replay", "shrink", "sweep"] {
            let (said, code) = sim(&[command, text(&odd)]);
            assert!(
                said.contains("odd.toml: ") && said.contains(why) && code == 2,
                "{code}: {said}"
            );
        }
    }
    let stray = "story = 'x'\nseed = 1\npeers = 3\nsteps = [{ fault-at = { at = 4, fault = { kill = {} } } }]";
    std::fs::write(&odd, stray).expect("it can be written");
    let (said, code) = sim(&["replay", text(&odd)]);
    assert!(said.contains("there is no server 4") && code == 0, "{code}: {said}");
    let (said, code) = sim(&["replay", text(&odd), "--alone"]);
    assert!(said.contains("cannot be used with") && code == 2, "{code}: {said}");
    assert_eq!(sim(&["replay", text(&odd), "--seeds", "0"]).1, 2);
}
