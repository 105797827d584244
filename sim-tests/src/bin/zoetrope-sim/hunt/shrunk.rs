//! What was found, made small: a scenario file for each mistake.

use sim_tests::hunt::{Hunted, LEAST_OFTEN, MOST_LINES};
use sim_tests::{Effort, Shrunk, shrink, told_oftenness};
use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use zoetrope_io_sim::{Mistake, Scenario};

/// How long each is shrunk, and by how many seeds it is counted how often it fails.
const EFFORT: Effort = Effort { cpu_s: 54.0, seeds: 100, chance: 0 };

/// So many times what is not good yet is shrunk once more.
const AGAIN: u64 = 3;

fn file_of(dir: &Path, mistake: Mistake) -> PathBuf {
    dir.join(format!("{}.toml", mistake.name()))
}

/// What is to be known of a scenario that was shrunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Small {
    pub(super) lines: usize,
    /// Of other seeds so many make it fail, of so many.
    pub(super) often: (u64, u64),
}

impl Small {
    pub(super) fn per_cent(&self) -> u64 {
        self.often.0 * 100 / self.often.1.max(1)
    }

    /// What has more lines, nobody reads; what fails more seldom, the next change of the code hides.
    pub(super) fn is_good(&self) -> bool {
        self.lines <= MOST_LINES && self.per_cent() >= LEAST_OFTEN
    }

    fn is_better_than(&self, other: &Self) -> bool {
        let value = |small: &Self| {
            (small.is_good(), small.lines <= MOST_LINES, small.per_cent(), Reverse(small.lines))
        };
        value(self) > value(other)
    }
}

/// Makes the directory.
pub(super) fn prepare(dir: &Path) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))
}

/// Shrinks the finds of each mistake, the shortest first, until one has become good, and if none has, the best one again;
/// if that does not help, it has to do. They are files of the mistakes' names, and what is there already stays.
pub(super) fn shrink_all(dir: &Path, hunted: &[Hunted]) -> Result<(), String> {
    for one in hunted {
        let file = file_of(dir, one.mistake);
        if file.exists() {
            continue;
        }
        let finds = one.campaigns.iter().flatten();
        let mut finds: Vec<Scenario> = finds.map(|find| find.kin.scenario(find.seed)).collect();
        finds.sort_by_key(|find| Reverse(find.steps.len()));
        let mut best: Option<(Small, Scenario)> = None;
        let mut again = AGAIN;
        while best.as_ref().is_none_or(|(small, _)| !small.is_good()) {
            let Some(next) = finds.pop().or_else(|| {
                again = again.checked_sub(1)?;
                Some(best.as_ref()?.1.clone())
            }) else {
                break;
            };
            let Some((small, shrunk)) = shrink_one(one.mistake, &next, again) else { continue };
            if best.as_ref().is_none_or(|(best, _)| small.is_better_than(best)) {
                std::fs::write(&file, shrunk.to_short_text())
                    .map_err(|error| format!("{}: {error}", file.display()))?;
                best = Some((small, shrunk));
            }
        }
        if best.is_none() && one.campaigns.iter().any(Result::is_ok) {
            let name = one.mistake.name();
            return Err(format!("no seed that the ledger names finds {name} any more"));
        }
    }
    Ok(())
}

/// Says what came of it.
fn shrink_one(mistake: Mistake, find: &Scenario, chance: u64) -> Option<(Small, Scenario)> {
    let name = mistake.name();
    let Some(Shrunk { scenario, lines, cpu_s, oftenness, .. }) =
        shrink(find, mistake, Effort { chance, ..EFFORT })
    else {
        println!("{name}: seed {} does not find it any more", find.seed);
        return None;
    };
    println!(
        "{name}: {} lines before, {} after; {cpu_s:.1} CPU seconds; {} of {} other seeds fail, {} by the same judge",
        lines.0, lines.1, oftenness.fails, oftenness.seeds, oftenness.alike
    );
    Some((Small { lines: lines.1, often: (oftenness.fails, oftenness.seeds) }, scenario))
}

/// The file of a mistake, if there is one that tells how often it fails.
pub(super) fn small(dir: &Path, mistake: Mistake) -> Option<Small> {
    let text = std::fs::read_to_string(file_of(dir, mistake)).ok()?;
    let often = told_oftenness(&Scenario::parse(&text).ok()?.story)?;
    Some(Small { lines: text.lines().count(), often })
}
