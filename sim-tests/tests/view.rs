//! The page of `zoetrope-sim view`: everything of the run is in it, and nothing else is needed.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn file(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("view");
    std::fs::create_dir_all(&dir).expect("the build directory can be written");
    dir.join(name)
}

/// What it printed; it ends well.
fn sim(args: &[&str], code: i32) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_zoetrope-sim")).args(args).output();
    let output = output.expect("it is built");
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("it is text");
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// How the element with the run begins.
const BEGIN: &str = "<script type=\"application/json\" id=\"run\">";

/// A page and the run in it.
fn view(args: &[&str], name: &str) -> (String, Value) {
    let out = file(name);
    let out = out.to_str().expect("it is text");
    sim(&[&["view"], args, &["-o", out]].concat(), 0);
    let page = std::fs::read_to_string(out).expect("it was written");
    let (_, rest) = page.split_once(BEGIN).expect("the run is in it");
    let (run, _) = rest.split_once("</script>").expect("the run ends");
    let run = serde_json::from_str(run).expect("it is JSON");
    (page, run)
}

fn column<'a>(run: &'a Value, name: &str) -> &'a Vec<Value> {
    run["events"][name].as_array().expect("it is a column")
}

/// What a scenario says in its story must not end the element it stands in, nor become one.
const EVIL: &str = "</script><script>alert(1)</script><!-- <img src=x> /*scripts*/ \u{2028}";

#[test]
fn a_page_needs_nothing_but_itself() {
    let scenario = file("evil.toml");
    let text = format!(
        "story = '''{EVIL}'''\nseed = 1\npeers = 3\nsteps = [{{ await-leader = 30000 }}, {{ requests = 20 }}, \
         {{ fault-at = {{ at = 2, fault = {{ crash = {{ keep = 'all', down = 50 }} }} }} }}, {{ run = 200 }}]"
    );
    std::fs::write(&scenario, text).expect("it can be written");
    let (page, run) = view(&[scenario.to_str().expect("it is text")], "evil.html");
    assert_eq!(run["about"]["story"], EVIL);
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    let (before, rest) = page.split_once(BEGIN).expect("the run is in it");
    let shell = format!("{before}{}", rest.split_once("</script>").expect("it ends").1);
    for loads in [
        "<link rel=\"stylesheet",
        "src=",
        "url(",
        "@import",
        "http:",
        "https:",
        "fetch(",
        "import(",
    ] {
        assert!(!shell.contains(loads), "{loads}");
    }
    assert!(shell.contains("default-src 'none'"));
    for mark in ["/*style*/", "/*run*/", "/*scripts*/"] {
        assert!(!shell.contains(mark), "{mark}");
    }
}

#[test]
fn a_page_has_everything_that_happened() {
    let seed = ["--seed", "6"];
    let (_, run) = view(&seed, "kept.html");
    let steps = sim(&[&["replay", "--step"], &seed[..]].concat(), 0);
    let events = column(&run, "kind").len();
    // The last line says how it ended.
    assert_eq!(events, steps.lines().count() - 1);
    for name in ["time", "lane", "text", "pair", "cause", "other"] {
        assert_eq!(column(&run, name).len(), events, "{name}");
    }
    assert_eq!(run["about"]["violation"], Value::Null);
    let kinds = run["kinds"].as_array().expect("it is a list");
    let number =
        |name: &str| kinds.iter().position(|kind| kind == name).expect("it is a kind") as u64;
    let texts = run["texts"].as_array().expect("it is a list");
    let text = |n: usize| column(&run, "text")[n].as_u64().and_then(|t| texts[t as usize].as_str());
    let mut heard = 0;
    for n in 0..events {
        let (kind, pair) = (column(&run, "kind")[n].as_u64(), column(&run, "pair")[n].as_i64());
        let packet = text(n).is_some_and(|text| !text.starts_with("VOTE"));
        if kind == Some(number("heard")) && packet || kind == Some(number("gets")) {
            // What arrives has its other end before it, and both say the same.
            let begin = n as i64 + pair.expect("it is a number");
            assert!(begin < n as i64, "{n}: {:?}", text(n));
            assert_eq!(text(begin as usize), text(n));
            heard += 1;
        }
    }
    assert!(heard > 1000, "{heard}");
}

/// What lasts is there too: who led, and txns that became durable on every server.
#[test]
fn a_page_shows_what_servers_were() {
    let (_, run) = view(&["--seed", "6"], "states.html");
    let servers = run["servers"].as_array().expect("it is a list");
    assert!(servers.len() >= 3);
    let leader = run["roles"].as_array().and_then(|r| r.iter().position(|role| role == "leader"));
    let mut led = 0;
    for server in servers {
        let column = |name: &str| -> Vec<i64> {
            let all = server[name].as_array().expect("it is a column");
            all.iter().filter_map(Value::as_i64).collect()
        };
        let (written, durable) = (column("written"), column("durable"));
        assert!(written.iter().zip(&durable).all(|(written, durable)| written >= durable));
        assert!(written != durable && durable.iter().max() > Some(&20));
        assert!(column("at").is_sorted());
        led += usize::from(column("role").contains(&(leader.expect("it is a role") as i64)));
    }
    assert!(led >= 1);
}

#[test]
fn a_broken_promise_and_a_cut_out_stretch_are_on_the_page() {
    let bad = ["--seed", "3", "--mistake", "reply-before-event"];
    let (_, run) = view(&bad, "broken.html");
    let said = sim(&[&["replay"], &bad[..]].concat(), 1);
    let violation = run["about"]["violation"].as_str().expect("it is broken");
    assert!(said.contains(violation), "{said}");
    let kind = column(&run, "kind").last().and_then(Value::as_u64).expect("it has events");
    assert_eq!(run["kinds"][kind as usize], "violation");
    let (_, part) = view(&["--seed", "6", "--from", "100ms", "--until", "300ms"], "part.html");
    let first = column(&part, "time")[0].as_u64().expect("it is a time");
    let length: u64 = column(&part, "time").iter().filter_map(Value::as_u64).sum();
    assert!(first >= 100_000 && (200_000..=310_000).contains(&length), "{first} {length}");
}
