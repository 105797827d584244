//! Builds the copy and tries mutants out: the core's tests first, then seeds.

use crate::plant::Places;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Seeds that a mutant must survive, in parts: most of those that die die at once.
const SEEDS: [&str; 3] = ["0..5", "5..30", "30..100"];
/// Bytes of address space a mutant may fill.
const MEMORY_KB: u64 = 8 << 20;

/// What became of a mutant.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// A test of the core failed.
    Test(String),
    /// It took much longer than it takes without the mutant, or much more memory.
    Endless(String),
    /// A seed failed.
    Seed(String),
    /// Nothing saw it.
    Survived,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test(name) => write!(f, "test {name}"),
            Self::Endless(what) => write!(f, "no end of {what}"),
            Self::Seed(what) => write!(f, "seed {what}"),
            Self::Survived => f.write_str("SURVIVED"),
        }
    }
}

/// The built copy.
pub(crate) struct Built {
    tests: Vec<(String, PathBuf)>,
    sim: PathBuf,
    core: PathBuf,
}

/// Builds the copy. Answers which mutants do not compile, if that is why it cannot be built.
pub(crate) fn build(tree: &Path, places: &Places) -> io::Result<Result<Built, BTreeSet<u32>>> {
    let core = ["-p", "zoetrope-core"];
    let checked = cargo(tree, "check", &core)?;
    if !checked.errors.is_empty() {
        return blame(&checked.errors, places).map(Err);
    }
    let tests = cargo(tree, "test", &[&core[..], &["--no-run"]].concat())?.done()?;
    let programs = cargo(tree, "build", &["-p", "sim-tests", "--bin", "zoetrope-sim"])?.done()?;
    let sim = programs.into_iter().find(|(name, _)| name == "zoetrope-sim");
    let (_, sim) = sim.ok_or_else(|| io::Error::other("cargo made no zoetrope-sim"))?;
    Ok(Ok(Built { tests, sim, core: tree.join("core") }))
}

/// What cargo came to.
#[derive(Default)]
struct Cargo {
    /// Programs, by name.
    programs: Vec<(String, PathBuf)>,
    errors: Vec<Place>,
}

/// A place that an error names.
struct Place {
    file: String,
    bytes: Range<usize>,
    error: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n  {}, bytes {:?}: {}", self.file, self.bytes, self.error)
    }
}

/// For a person to read.
fn told(what: &str, errors: &[Place]) -> io::Error {
    let errors: String = errors.iter().map(Place::to_string).collect();
    io::Error::other(format!("{what}:{errors}"))
}

impl Cargo {
    /// The programs, if there was no error.
    fn done(self) -> io::Result<Vec<(String, PathBuf)>> {
        if self.errors.is_empty() {
            return Ok(self.programs);
        }
        Err(told("what could be checked cannot be built", &self.errors))
    }
}

fn cargo(tree: &Path, command: &str, arguments: &[&str]) -> io::Result<Cargo> {
    let output = Command::new("cargo")
        .current_dir(tree)
        .args([command, "--release", "--message-format=json"])
        .args(arguments)
        .env("CARGO_TARGET_DIR", tree.join("target"))
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("RUSTFLAGS", "--cap-lints=allow")
        .stderr(Stdio::inherit())
        .output()?;
    let mut came_to = Cargo::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(said) = serde_json::from_str::<Value>(line) else { continue };
        if let Some(program) = said["executable"].as_str() {
            let name = said["target"]["name"].as_str().unwrap_or_default().to_owned();
            came_to.programs.push((name, PathBuf::from(program)));
        }
        let message = &said["message"];
        if message["level"] != "error" {
            continue;
        }
        for span in message["spans"].as_array().into_iter().flatten() {
            let at = |key: &str| span[key].as_u64().unwrap_or_default() as usize;
            came_to.errors.push(Place {
                file: span["file_name"].as_str().unwrap_or_default().to_owned(),
                bytes: at("byte_start")..at("byte_end"),
                error: message["message"].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    if !output.status.success() && came_to.errors.is_empty() {
        return Err(io::Error::other(format!("cargo {command} {arguments:?} failed")));
    }
    Ok(came_to)
}

/// Whose bytes the errors are in.
fn blame(errors: &[Place], places: &Places) -> io::Result<BTreeSet<u32>> {
    let mut guilty = BTreeSet::new();
    for Place { file, bytes, .. } in errors {
        for (number, range) in places.get(file).into_iter().flatten() {
            if bytes.start < range.end && range.start < bytes.end {
                guilty.insert(*number);
            }
        }
    }
    if guilty.is_empty() {
        return Err(told("errors that are no mutant's", errors));
    }
    Ok(guilty)
}

impl Built {
    /// Without a mutant everything must pass. Answers nothing; an error says what did not.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self.try_out(0)? {
            Fate::Survived => Ok(()),
            fate => Err(io::Error::other(format!("without any mutant: {fate}"))),
        }
    }

    /// Tries all of them out, so many at a time.
    pub(crate) fn try_all(
        &self,
        numbers: &[u32],
        jobs: usize,
        tell: impl Fn(u32, &Fate) + Sync,
    ) -> io::Result<BTreeMap<u32, Fate>> {
        let (next, fates) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let work = || -> io::Result<()> {
            while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                let fate = self.try_out(*number)?;
                tell(*number, &fate);
                fates.lock().unwrap_or_else(PoisonError::into_inner).insert(*number, fate);
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            all.into_iter().try_for_each(|it| {
                it.join().unwrap_or_else(|_| {
                    Err(io::Error::other("a thread that tried mutants out panicked"))
                })
            })
        })?;
        Ok(fates.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn try_out(&self, mutant: u32) -> io::Result<Fate> {
        for (name, program) in &self.tests {
            let ended = limited(mutant, 120, program, &[], &self.core)?;
            if ended.endless {
                return Ok(Fate::Endless(name.clone()));
            }
            if !ended.well {
                let failed = ended
                    .said
                    .lines()
                    .find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
                let failed = failed
                    .map_or_else(|| "(all of them: the process ended)".to_owned(), str::to_owned);
                return Ok(Fate::Test(format!("{name}: {failed}")));
            }
        }
        for seeds in SEEDS {
            let ended = limited(
                mutant,
                600,
                &self.sim,
                &["run", "--jobs", "1", "--seeds", seeds],
                &self.core,
            )?;
            if ended.endless {
                return Ok(Fate::Endless(format!("seeds {seeds}")));
            }
            if !ended.well {
                return Ok(Fate::Seed(format!("of {seeds}: {}", ended.last_words())));
            }
        }
        Ok(Fate::Survived)
    }
}

struct Ended {
    well: bool,
    endless: bool,
    said: String,
}

impl Ended {
    /// The line that says what broke.
    fn last_words(&self) -> String {
        let broke = self.said.lines().find(|line| line.contains("seed ") && line.contains(':'));
        broke
            .or_else(|| self.said.lines().last())
            .unwrap_or_default()
            .trim()
            .chars()
            .take(160)
            .collect()
    }
}

/// Runs a program with so many seconds of a CPU and so much memory.
fn limited(
    mutant: u32,
    seconds: u64,
    program: &Path,
    arguments: &[&str],
    dir: &Path,
) -> io::Result<Ended> {
    let limits = format!("ulimit -t {seconds} -v {MEMORY_KB}; exec \"$@\"");
    let output = Command::new("bash")
        .args(["-c", &limits, "bash"])
        .arg(program)
        .args(arguments)
        .current_dir(dir)
        .env("ZOETROPE_MUTANT", mutant.to_string())
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said += &String::from_utf8_lossy(&output.stderr);
    // A process that a signal ended: out of time, or it could not have more memory.
    use std::os::unix::process::ExitStatusExt;
    let endless =
        matches!(output.status.signal(), Some(9 | 24)) || said.contains("memory allocation of");
    // The program could not begin, or has judged nothing: that says nothing of a mutant.
    if let Some(code @ (2 | 126 | 127)) = output.status.code() {
        let why = format!("{} exits with {code}:\n{said}", program.display());
        return Err(io::Error::other(why));
    }
    Ok(Ended { well: output.status.success(), endless, said })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> io::Result<Ended> {
        limited(7, 1, Path::new("bash"), &["-c", script], Path::new("."))
    }

    #[test]
    fn what_a_program_came_to_is_told_apart() {
        let ended = run("echo mutant $ZOETROPE_MUTANT").unwrap();
        assert!(ended.well && !ended.endless);
        assert_eq!(ended.said, "mutant 7\n");
        let ended = run("echo 'swarm, seed 3: broken' >&2; echo more; exit 1").unwrap();
        assert!(!ended.well && !ended.endless);
        assert_eq!(ended.last_words(), "swarm, seed 3: broken");
        assert!(run("while :; do :; done").unwrap().endless);
        assert!(run("exit 2").is_err());
        assert!(run("exec /nowhere/at/all").is_err());
    }
}
