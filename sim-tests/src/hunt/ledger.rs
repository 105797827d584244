//! What campaigns have come to, kept in a file, so that a long hunt can be ended at any moment and go on another day.

use super::{Outcome, build, swarm_hash};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use zoetrope_io_sim::Mistake;

/// A file with one line of JSON for each campaign that is over.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    kept: Vec<Line>,
    /// How the build of a line that counts ends.
    swarm: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// Core and swarm. What another swarm came to is another result; what another core came to counts. Whoever changes a judge
    /// begins a new file.
    build: String,
    mistake: String,
    campaign: u64,
    /// The most seeds it could have had.
    seeds: u64,
    outcome: Outcome,
}

impl Ledger {
    /// Reads the file, or makes it. A last line that was cut off is not counted, and goes.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let text = io::read_to_string(&mut file)?;
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let read = |(n, line): (usize, &str)| {
            serde_json::from_str(line)
                .map_err(|error| io::Error::other(format!("line {}: {error}", n + 1)))
        };
        let kept = whole.lines().enumerate().map(read).collect::<io::Result<_>>()?;
        // Only now: a file that is no ledger stays as it is.
        file.set_len(whole.len() as u64)?;
        Ok(Self { file, kept, swarm: format!("swarm {}", swarm_hash()) })
    }

    /// What that campaign came to, if this swarm has made it.
    pub fn find(&self, mistake: Mistake, campaign: u64, seeds: u64) -> Option<&Outcome> {
        let name = mistake.name();
        let is_it = |line: &&Line| {
            line.build.ends_with(&self.swarm)
                && (line.mistake == name && line.campaign == campaign && line.seeds == seeds)
        };
        self.kept.iter().find(is_it).map(|line| &line.outcome)
    }

    /// Adds what a campaign came to.
    pub fn keep(
        &mut self,
        mistake: Mistake,
        campaign: u64,
        seeds: u64,
        outcome: Outcome,
    ) -> io::Result<()> {
        let line = Line { build: build(), mistake: mistake.name(), campaign, seeds, outcome };
        let text = serde_json::to_string(&line)? + "\n";
        self.file.write_all(text.as_bytes())?;
        self.kept.push(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::Kin;
    use crate::hunt::Find;
    use crate::violation::Violation;

    #[test]
    fn what_was_kept_is_there_another_day_unless_it_was_cut_off() {
        let name = format!("zoetrope-ledger-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let find = Find {
            seeds: 3,
            cpu_s: 1.25,
            seed: 1_000_002,
            kin: Kin::Ensemble,
            violation: Violation::of_judge("P8: lost".into()),
        };
        let mistake = Mistake::LeakedConnection;
        let mut ledger = Ledger::open(&path).unwrap();
        ledger.keep(mistake, 0, 10, Ok(find.clone())).unwrap();
        ledger.keep(mistake, 1, 10, Err(7.5)).unwrap();
        ledger.kept[0].build.insert(0, 'x');
        assert!(ledger.find(mistake, 0, 10).is_some(), "another core's");
        ledger.kept[1].build.push('x');
        ledger.file.write_all(b"{\"build\":\"cut o").unwrap();
        assert_eq!(ledger.find(mistake, 1, 10), None, "another swarm's");
        let mut ledger = Ledger::open(&path).unwrap();
        assert_eq!(ledger.find(mistake, 0, 10), Some(&Ok(find)));
        assert_eq!(ledger.find(mistake, 1, 10), Some(&Err(7.5)));
        assert_eq!(ledger.find(mistake, 0, 11), None);
        assert_eq!(ledger.find(Mistake::ShortWrite, 0, 10), None);
        ledger.keep(mistake, 2, 10, Err(1.0)).unwrap();
        ledger.file.write_all(b"nonsense\n").unwrap();
        let wrong = Ledger::open(&path).unwrap_err().to_string();
        assert!(wrong.starts_with("line 4: "), "{wrong}");
        std::fs::write(&path, "notes\nand their last line").unwrap();
        assert!(Ledger::open(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "notes\nand their last line");
        std::fs::remove_file(&path).unwrap();
    }
}
