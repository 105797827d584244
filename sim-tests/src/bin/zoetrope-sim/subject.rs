//! What a subcommand works on: a scenario file, or the scenario of a seed.

use clap::Args;
use sim_tests::Kin;
use sim_tests::sense::{nonsense, strays};
use std::error::Error;
use std::path::{Path, PathBuf};
use zoetrope_io_sim::{Mistake, Scenario};

/// A mistake of the simulated driver.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Planted {
    /// Put a mistake in, to see it found; `hunt --list` names them
    #[arg(long, value_name = "NAME", default_value = "none", hide_default_value = true, value_parser = mistake)]
    pub(crate) mistake: Mistake,
}

impl Planted {
    /// The option that says it, for a line that replays.
    pub(crate) fn option(self) -> String {
        option(&self.mistake.name())
    }
}

/// The option that says a mistake of that name.
pub(crate) fn option(mistake: &str) -> String {
    if mistake == Mistake::None.name() { String::new() } else { format!(" --mistake {mistake}") }
}

fn mistake(name: &str) -> Result<Mistake, String> {
    if name == Mistake::None.name() { Ok(Mistake::None) } else { planted(name) }
}

/// A mistake that this program was built with.
pub(crate) fn planted(name: &str) -> Result<Mistake, String> {
    let known = Mistake::all().into_iter().find(|mistake| mistake.name() == name);
    known.ok_or_else(|| {
        let built = match cfg!(feature = "planted-bugs") {
            true => "",
            false => "; this program was built without `--features planted-bugs`, and has none of the core's",
        };
        let meant = meant(name).map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
        format!("{meant}`hunt --list` says which there are{built}")
    })
}

/// The mistake whose name is next to that one, if there is one that is near.
fn meant(name: &str) -> Option<String> {
    let most = name.chars().count().div_ceil(3);
    let names = Mistake::all().into_iter().map(|mistake| mistake.name());
    let near = names.map(|known| (strsim::levenshtein(name, &known), known));
    near.filter(|(far, _)| *far <= most).min().map(|(_, known)| known)
}

/// A seed. Files hold numbers below 2^63.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    let seed: Option<i64> = text.parse().ok();
    let seed = seed.and_then(|seed| u64::try_from(seed).ok());
    seed.ok_or_else(|| format!("a seed is a number from 0 to {}", i64::MAX))
}

/// One scenario.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(crate) struct Subject {
    /// A scenario file
    #[arg(value_name = "FILE", conflicts_with = "seed")]
    pub(crate) file: Option<PathBuf>,
    /// The scenario of that seed of a swarm, as `run` runs it
    #[arg(long, value_name = "N", value_parser = seed)]
    pub(crate) seed: Option<u64>,
    /// The seed is of the swarm of one server that stands alone
    #[arg(long, conflicts_with_all = ["file", "ensemble"])]
    pub(crate) alone: bool,
    /// The seed is of the swarm of ensembles (the default)
    #[arg(long, conflicts_with = "file")]
    pub(crate) ensemble: bool,
}

impl Subject {
    /// The scenario, and what to call it.
    pub(crate) fn read(&self) -> Result<(Scenario, String), Box<dyn Error>> {
        match (&self.file, self.seed) {
            (Some(file), _) => Ok((read(file)?, file.display().to_string())),
            (None, Some(seed)) => {
                let kin = if self.alone { Kin::Alone } else { Kin::Ensemble };
                Ok((kin.scenario(seed), format!("swarm {kin}")))
            }
            (None, None) => Err("which run? FILE, or --seed N".into()),
        }
    }
}

/// Reads a scenario file, and says what it names that is not there.
pub(crate) fn read(file: &Path) -> Result<Scenario, Box<dyn Error>> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let name = file.display();
    let scenario = Scenario::parse(&text).map_err(|error| format!("{name}: {error}"))?;
    if let Some(why) = nonsense(&scenario) {
        return Err(format!("{name}: {why}").into());
    }
    for stray in strays(&scenario) {
        eprintln!("zoetrope-sim: {name}: {stray}");
    }
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_whose_name_is_near_is_offered() {
        let said = planted("no-fsync-wiat").expect_err("nobody is called so");
        assert!(said.starts_with("did you mean `no-fsync-wait`?"), "{said}");
        let said = planted("nonsense").expect_err("nobody is called so");
        assert!(said.starts_with("`hunt --list`"), "{said}");
    }
}
