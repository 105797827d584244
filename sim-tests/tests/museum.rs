//! docs/museum.md says what guards against each bug: what it names must be there, and what retells a bug must be named.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use zoetrope_io_sim::Scenario;

fn path(of: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(of)
}

fn read(of: &str) -> String {
    fs::read_to_string(path(of)).unwrap_or_else(|error| panic!("{of}: {error}"))
}

/// Everything between backticks.
fn named(page: &str) -> BTreeSet<&str> {
    page.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn the_museum_names_what_is_there() {
    let page = read("docs/museum.md");
    let named = named(&page);
    let (mut scenarios, mut tests) = (0, 0);
    for name in named {
        if name.ends_with(".toml") {
            assert!(path("scenarios").join(name).exists(), "there is no scenario {name}");
            scenarios += 1;
        }
        if let Some((file, test)) = name.split_once("::") {
            let is_there = read(file).contains(&format!("fn {test}("));
            assert!(is_there, "there is no test {test} in {file}");
            tests += 1;
        }
    }
    assert!(scenarios >= 50 && tests >= 25, "{scenarios} scenarios and {tests} tests");
}

#[test]
fn every_scenario_that_retells_a_bug_stands_in_the_museum() {
    let page = read("docs/museum.md");
    for entry in fs::read_dir(path("scenarios")).expect("the scenarios are there") {
        let name = entry.expect("they can be listed").file_name().into_string().expect("a name");
        if !name.ends_with(".toml") {
            continue;
        }
        let scenario = Scenario::parse(&read(&format!("scenarios/{name}"))).expect("a scenario");
        let Some(number) = scenario.retells.strip_prefix("ZOOKEEPER-") else {
            assert!(scenario.retells.is_empty(), "{name} retells {:?}", scenario.retells);
            continue;
        };
        let row = page.lines().find(|line| {
            let mut cells = line.split('|').map(str::trim);
            let issues = cells.nth(2).unwrap_or_default();
            issues.split(", ").any(|issue| issue == number) && line.contains(&format!("`{name}`"))
        });
        assert!(row.is_some(), "no row of ZOOKEEPER-{number} names {name}");
    }
}
