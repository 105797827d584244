//! Draws as many mutants from each module.

use crate::find::{self, Mutant};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// The modules of the core in which mutants are made: those that decide.
pub(crate) const MODULES: [&str; 8] =
    ["election", "zab", "journal", "session", "txn", "watch", "tree", "server"];

/// Mutants of each module in the order in which they are taken.
pub(crate) struct Urn {
    pub(crate) files: Vec<String>,
    pub(crate) of_module: BTreeMap<String, Vec<Mutant>>,
}

/// Finds all mutants of all modules and shuffles those of each.
pub(crate) fn shuffled(root: &Path, seed: u64) -> io::Result<Urn> {
    let mut urn = Urn { files: Vec::new(), of_module: BTreeMap::new() };
    for module in MODULES {
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(root.join("core/src").join(module))? {
            names.extend(entry?.file_name().to_str().map(str::to_owned));
        }
        names.sort();
        let (mut all, mut for_tests) = (BTreeMap::new(), BTreeSet::new());
        for name in names.iter().filter(|name| name.ends_with(".rs")) {
            let file = format!("core/src/{module}/{name}");
            let source = fs::read_to_string(root.join(&file))?;
            let (found, tests) = find::mutants(module, &file, &source)
                .map_err(|error| io::Error::other(format!("{file}: {error}")))?;
            for_tests.extend(tests.into_iter().map(|test| format!("core/src/{module}/{test}.rs")));
            all.insert(file, found);
        }
        all.retain(|file, _| !for_tests.contains(file));
        urn.files.extend(all.keys().cloned());
        let mut all: Vec<Mutant> = all.into_values().flatten().collect();
        shuffle(&mut all, seed);
        urn.of_module.insert(module.to_owned(), all);
    }
    Ok(urn)
}

fn shuffle(mutants: &mut [Mutant], seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for left in (1..mutants.len()).rev() {
        let drawn = (rng.next_u64() % (left as u64 + 1)) as usize;
        mutants.swap(left, drawn);
    }
}

/// The first mutants of each module that are neither useless nor overlap one that was taken before.
pub(crate) fn draw<'a>(
    urn: &'a Urn,
    each: usize,
    useless: &BTreeSet<(String, usize, String)>,
) -> Vec<&'a Mutant> {
    let mut taken: Vec<&Mutant> = Vec::new();
    for mutants in urn.of_module.values() {
        let before = taken.len();
        for mutant in mutants {
            if taken.len() - before == each {
                break;
            }
            let overlaps = taken.iter().any(|it| {
                it.file == mutant.file
                    && it.range.start <= mutant.range.end
                    && mutant.range.start <= it.range.end
            });
            if !overlaps && !useless.contains(&mutant.key()) {
                taken.push(mutant);
            }
        }
    }
    taken
}
