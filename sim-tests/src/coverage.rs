//! Which faults have met which moments of servers, over many runs, and what has never been tried.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use zoetrope_io_sim::{Coverage, FAULTS, Moment, why_never};

/// How often, by the names of fault and moment.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Met(BTreeMap<String, BTreeMap<String, u64>>);

/// Every cell that can be.
fn cells() -> impl Iterator<Item = (&'static str, Moment)> {
    let all = FAULTS.iter().flat_map(|fault| Moment::ALL.iter().map(|moment| (*fault, *moment)));
    all.filter(|(fault, moment)| why_never(fault, *moment).is_none())
}

impl Met {
    pub(crate) fn add(&mut self, coverage: &Coverage) {
        for (fault, moment, times) in coverage.iter() {
            assert!(
                FAULTS.contains(&fault) && Moment::ALL.contains(&moment),
                "{fault}, at {moment:?}, has no cell"
            );
            *self.cell(fault, moment.name()) += times;
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (fault, moments) in other.0 {
            for (moment, times) in moments {
                *self.cell(&fault, &moment) += times;
            }
        }
    }

    fn cell(&mut self, fault: &str, moment: &str) -> &mut u64 {
        let row = self.0.entry(fault.to_owned()).or_default();
        row.entry(moment.to_owned()).or_default()
    }

    fn times(&self, fault: &str, moment: Moment) -> u64 {
        let row = self.0.get(fault);
        row.and_then(|row| row.get(moment.name())).copied().unwrap_or(0)
    }

    /// Cells that can be.
    pub fn possible() -> usize {
        cells().count()
    }

    /// Those of them that were met.
    pub fn met(&self) -> usize {
        cells().filter(|(fault, moment)| self.times(fault, *moment) > 0).count()
    }

    /// Those that were not.
    pub fn holes(&self) -> Vec<(&'static str, Moment)> {
        cells().filter(|(fault, moment)| self.times(fault, *moment) == 0).collect()
    }

    /// The whole table as a page of Markdown.
    pub fn page(&self, runs: u64) -> String {
        let mut page = format!(
            "# Faults and moments\n\nHow often each fault has met a server at each moment, in {runs} runs of the swarm: {} of {} cells. A \
             dash is a cell that cannot be, for a reason below the table. Written by `zoetrope-sim run --coverage` or `merge --coverage`.\n\n| |",
            self.met(),
            Self::possible()
        );
        for moment in Moment::ALL {
            let _ = write!(page, " {} |", moment.name());
        }
        page += "\n|---|";
        page += &"--:|".repeat(Moment::ALL.len());
        let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for fault in FAULTS {
            let _ = write!(page, "\n| {fault} |");
            for moment in Moment::ALL {
                match why_never(fault, moment) {
                    Some(why) if self.times(fault, moment) == 0 => {
                        reasons.entry(why).or_default().push(format!("{fault}: {}", moment.name()));
                        page += " - |";
                    }
                    _ => {
                        let _ = write!(page, " {} |", self.times(fault, moment));
                    }
                }
            }
        }
        page += "\n\nCells that cannot be:\n";
        for (why, cells) in reasons {
            let _ = writeln!(page, "* {why} ({} cells)", cells.len());
        }
        page
    }
}

impl fmt::Display for Met {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holes = self.holes();
        write!(
            f,
            "faults met servers in {} of {} cells of fault and moment",
            self.met(),
            Self::possible()
        )?;
        const SHOWN: usize = 8;
        for (fault, moment) in holes.iter().take(SHOWN) {
            write!(f, "\n  never: {fault}, at {}", moment.name())?;
        }
        match holes.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more (--coverage writes the table)"),
        }
    }
}
