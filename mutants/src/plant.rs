//! Puts many mutants into one copy of the workspace, each behind a switch, so that it is built once for all of them.

use crate::find::{Mutant, ON};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

/// File by file, which bytes are whose.
pub(crate) type Places = BTreeMap<String, Vec<(u32, Range<usize>)>>;

/// The switch, as the copied core has it.
const SWITCH: &str = r#"//! Which mutant is on.

use std::sync::OnceLock;

pub(crate) fn on(mutant: u32) -> bool {
    static IS_ON: OnceLock<u32> = OnceLock::new();
    *IS_ON.get_or_init(|| std::env::var("ZOETROPE_MUTANT").map_or(0, |it| it.parse().unwrap())) == mutant
}
"#;

/// Copies the workspace, without what git ignores.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = Command::new("git").arg("-C").arg(from).args(list).output()?;
    if !listed.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&listed.stderr).into_owned()));
    }
    for name in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
        let (source, target) = (from.join(name), to.join(name));
        if let Some(dir) = target.parent() {
            fs::create_dir_all(dir)?;
        }
        write_if_new(&target, &fs::read(source)?)?;
    }
    Ok(())
}

/// What did not change is not built again.
fn write_if_new(target: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(target).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(target, bytes)
}

/// Writes the files that mutants can be in, with those that are.
pub(crate) fn plant(
    from: &Path,
    to: &Path,
    files: &[String],
    mutants: &[(u32, &Mutant)],
) -> io::Result<Places> {
    let mut places = Places::new();
    for file in files {
        let here: Vec<_> = mutants.iter().filter(|(_, it)| it.file == *file).copied().collect();
        let (text, ranges) = with_switches(&fs::read_to_string(from.join(file))?, &here);
        write_if_new(&to.join(file), text.as_bytes())?;
        places.insert(file.clone(), ranges);
    }
    let lib = fs::read_to_string(from.join("core/src/lib.rs"))?;
    write_if_new(&to.join("core/src/lib.rs"), format!("{lib}\nmod mutant;\n").as_bytes())?;
    write_if_new(&to.join("core/src/mutant.rs"), SWITCH.as_bytes())?;
    Ok(places)
}

/// A file with mutants in it, and where each of them is in the new text.
pub(crate) fn with_switches(
    source: &str,
    mutants: &[(u32, &Mutant)],
) -> (String, Vec<(u32, Range<usize>)>) {
    let mut inserts: Vec<(usize, u32, String)> = Vec::new();
    for (number, mutant) in mutants {
        for (at, text) in &mutant.inserts {
            let asked = text.replace(ON, &format!("crate::mutant::on({number})"));
            inserts.push((*at, *number, asked));
        }
    }
    inserts.sort_by_key(|(at, ..)| *at);
    let mut text = String::with_capacity(source.len() * 2);
    let mut ranges: BTreeMap<u32, Range<usize>> = BTreeMap::new();
    let mut done = 0;
    for (at, number, insert) in inserts {
        text.push_str(&source[done..at]);
        done = at;
        let begin = text.len();
        text.push_str(&insert);
        let range = ranges.entry(number).or_insert(begin..begin);
        range.end = text.len();
    }
    text.push_str(&source[done..]);
    (text, ranges.into_iter().collect())
}
