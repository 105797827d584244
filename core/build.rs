//! Names this build by what it was made of, because a recording means something to the very same core only.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the sources can be listed") {
        let path = entry.expect("the sources can be listed").path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// FNV-1a.
fn mix(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn main() {
    println!("cargo::rerun-if-changed=src");
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    files.sort();
    let mut sum = 0xcbf2_9ce4_8422_2325;
    for file in files {
        let text = fs::read(&file).expect("a source can be read");
        sum = mix(mix(sum, file.to_string_lossy().as_bytes()), &(text.len() as u64).to_le_bytes());
        sum = mix(sum, &text);
    }
    let planted = std::env::var_os("CARGO_FEATURE_PLANTED_BUGS").is_some();
    let with = if planted { "+planted-bugs" } else { "" };
    println!("cargo::rustc-env=ZOETROPE_CORE_BUILD={sum:016x}{with}");
}
