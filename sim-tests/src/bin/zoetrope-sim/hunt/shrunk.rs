//! What was found, made small: a scenario file for each mistake.

use sim_tests::hunt::Hunted;
use sim_tests::{Effort, Shrunk, shrink};
use std::path::{Path, PathBuf};
use zoetrope_io_sim::Mistake;

/// How long each is shrunk, and by how many seeds it is counted how often it fails.
const EFFORT: Effort = Effort { cpu_s: 59.0, seeds: 100 };

fn file_of(dir: &Path, mistake: Mistake) -> PathBuf {
    dir.join(format!("{}.toml", mistake.name()))
}

/// Makes the directory.
pub(super) fn prepare(dir: &Path) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))
}

/// Shrinks the first find of each mistake into a file of its name. What is there already stays.
pub(super) fn shrink_all(dir: &Path, hunted: &[Hunted]) -> Result<(), String> {
    for one in hunted {
        let (name, file) = (one.mistake.name(), file_of(dir, one.mistake));
        let Some(find) = one.campaigns.iter().flatten().next() else { continue };
        if file.exists() {
            continue;
        }
        let scenario = find.kin.scenario(find.seed);
        let Some(Shrunk { scenario, lines, cpu_s, oftenness, .. }) =
            shrink(&scenario, one.mistake, EFFORT)
        else {
            return Err(format!("seed {} does not find {name} any more", find.seed));
        };
        std::fs::write(&file, scenario.to_short_text())
            .map_err(|error| format!("{}: {error}", file.display()))?;
        println!(
            "{name}: {} lines before, {} after; {cpu_s:.1} CPU seconds; {} of {} other seeds fail, {} by the same judge",
            lines.0, lines.1, oftenness.fails, oftenness.seeds, oftenness.alike
        );
    }
    Ok(())
}

/// Lines of the file of a mistake, if there is one.
pub(super) fn lines(dir: &Path, mistake: Mistake) -> Option<usize> {
    let text = std::fs::read_to_string(file_of(dir, mistake)).ok()?;
    Some(text.lines().count())
}
