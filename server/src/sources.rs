//! Where settings are read from: the only file here that opens a file or asks the environment.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::args::VARIABLES;
use crate::config_file::{Loaded, Sources, load};

/// Reads file, environment and flags. The error is a sentence.
pub fn read(file: Option<&Path>, set: &[(String, String)]) -> Result<Loaded, String> {
    let file = match file {
        Some(path) => Some((path.to_owned(), read_file(path)?)),
        None => None,
    };
    let sources = Sources {
        java_options: JAVA_VARIABLES.iter().flat_map(|name| java_options(name)).collect(),
        file,
        environment: environment(),
        flags: set.to_vec(),
    };
    Ok(load(&sources, &|path: &Path| fs::read(path)))
}

/// The configuration file when none is given.
pub fn default_file() -> Option<PathBuf> {
    std::env::var_os("ZOETROPE_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "{} does not exist. Without a file, `zoetrope` serves 127.0.0.1:2181 from ./zoetrope-data",
            absolute(path).display()
        ),
        _ => format!("{} cannot be read: {error}", absolute(path).display()),
    })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn environment() -> Vec<(String, String)> {
    let ours = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        let is_key = name.starts_with("ZOETROPE_") && !VARIABLES.contains(&name.as_str());
        (is_key && !is_of_kubernetes(&name)).then(|| (name, value.to_string_lossy().into_owned()))
    });
    let mut ours: Vec<_> = ours.collect();
    ours.sort();
    ours
}

/// What Java's start scripts hand to the JVM; settings that zoo.cfg cannot hold there are often here.
const JAVA_VARIABLES: [&str; 2] = ["JVMFLAGS", "SERVER_JVMFLAGS"];

fn java_options(variable: &str) -> Vec<(String, String, String)> {
    let options = std::env::var(variable).unwrap_or_default();
    let options = options.split_whitespace().filter_map(|option| {
        let (key, value) = option.trim_matches(['"', '\'']).strip_prefix("-D")?.split_once('=')?;
        let value = value.trim_matches(['"', '\'']);
        Some((variable.to_owned(), key.to_owned(), value.to_owned()))
    });
    options.collect()
}

/// Kubernetes describes a service called `zoetrope` to every pod beside it; that is no configuration.
fn is_of_kubernetes(name: &str) -> bool {
    name == "ZOETROPE_PORT"
        || name.starts_with("ZOETROPE_PORT_")
        || name.starts_with("ZOETROPE_SERVICE_")
}
