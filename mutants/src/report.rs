//! The page that says what the tests see.

use crate::find::Mutant;
use crate::sample::{MODULES, Urn};
use crate::try_out::Fate;
use std::collections::BTreeMap;
use std::fmt::Write;

/// All that a run came to.
pub(crate) struct Report<'a> {
    pub(crate) seed: u64,
    pub(crate) urn: &'a Urn,
    pub(crate) useless: &'a BTreeMap<String, usize>,
    pub(crate) fates: &'a [(&'a Mutant, Fate)],
    /// Why a mutant may survive, by its name.
    pub(crate) reasons: &'a BTreeMap<String, String>,
}

#[derive(Default)]
struct Row {
    test: usize,
    seed: usize,
    endless: usize,
    survived: usize,
}

impl Row {
    fn add(&mut self, fate: &Fate) {
        *match fate {
            Fate::Test(_) => &mut self.test,
            Fate::Seed(_) => &mut self.seed,
            Fate::Endless(_) => &mut self.endless,
            Fate::Survived => &mut self.survived,
        } += 1;
    }

    fn tried(&self) -> usize {
        self.test + self.seed + self.endless + self.survived
    }

    fn score(&self) -> f64 {
        100.0 * (self.tried() - self.survived) as f64 / self.tried().max(1) as f64
    }
}

impl Report<'_> {
    /// Of all mutants, in percent.
    pub(crate) fn score(&self) -> f64 {
        self.row(|_| true).score()
    }

    fn row(&self, of: impl Fn(&Mutant) -> bool) -> Row {
        let mut row = Row::default();
        self.fates.iter().filter(|(mutant, _)| of(mutant)).for_each(|(_, fate)| row.add(fate));
        row
    }

    /// As Markdown.
    pub(crate) fn page(&self) -> String {
        let mut page = format!(
            "# What the tests see\n\n\
             Written by `cargo run --release -p zoetrope-mutants -- --seed {} --write docs/mutation.md`.\n\n\
             A mutant is the core with one small change: an operator is another one, a statement or the arm of a match is\n\
             missing, a function does nothing or always gives the same. Of each module as many are drawn by chance. One is\n\
             killed if a test of the core fails with it (`cargo test -p zoetrope-core`), or one of 100 seeds of single servers\n\
             and 100 of ensembles (`zoetrope-sim run --seeds 100`), or if one of them finds no end. The scenarios are not asked.\n\n\
             | module | mutants there are | drawn | killed by a test | by a seed | without end | survived | killed |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|\n",
            self.seed
        );
        for module in MODULES {
            let there =
                self.urn.of_module[module].len() - self.useless.get(module).copied().unwrap_or(0);
            self.line(&mut page, module, there, &self.row(|mutant| mutant.module == module));
        }
        let useless: usize = self.useless.values().sum();
        let there = self.urn.of_module.values().map(Vec::len).sum::<usize>() - useless;
        self.line(&mut page, "**all**", there, &self.row(|_| true));
        let _ = write!(
            page,
            "\n{useless} more were drawn that do not compile; others came in their place.\n\n## Survivors\n"
        );
        for module in MODULES {
            let survivors = self
                .fates
                .iter()
                .filter(|(mutant, fate)| mutant.module == module && matches!(fate, Fate::Survived));
            for (mutant, _) in survivors {
                let reason =
                    self.reasons.get(&mutant.name()).map_or("Not looked into yet.", String::as_str);
                let _ = write!(page, "\n* {}\n  {reason}\n", mutant.name());
            }
        }
        page
    }

    fn line(&self, page: &mut String, module: &str, there: usize, row: &Row) {
        let _ = writeln!(
            page,
            "| {module} | {there} | {} | {} | {} | {} | {} | {:.0} % |",
            row.tried(),
            row.test,
            row.seed,
            row.endless,
            row.survived,
            row.score()
        );
    }
}
