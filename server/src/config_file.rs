//! zoo.cfg, the environment and flags become settings, with a finding for every key that was given.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zoetrope_core::properties::{self, Property};

use crate::draft::{Draft, is_relative};
use crate::keys::{self, Does, Key, Kind};
use crate::nearest::nearest;
use crate::settings::Settings;
use crate::value::{Fault, Given};

/// Everything that may hold a setting. Flags win over the environment, the environment over the file, and the file, as
/// in Java, over options for a JVM.
#[derive(Clone, Default, Debug)]
pub struct Sources {
    /// Options of the form `-Dkey=value`, meant for a JVM: variable, key, value.
    pub java_options: Vec<(String, String, String)>,
    /// zoo.cfg: its path as the user gave it, and its bytes.
    pub file: Option<(PathBuf, Vec<u8>)>,
    /// Variables that begin with `ZOETROPE_`, complete.
    pub environment: Vec<(String, String)>,
    /// `--set key=value`.
    pub flags: Vec<(String, String)>,
}

/// Where a setting was given.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// In a file.
    File {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: u32,
    },
    /// By this variable.
    Environment(String),
    /// By `--set`.
    Flag,
    /// By a `-D` option in this variable.
    JavaOption(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{} line {line}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag => f.write_str("--set"),
            Self::JavaOption(variable) => write!(f, "-D in {variable}"),
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// It does what it says.
    Honoured,
    /// It has no effect, and nothing is lost by that.
    Note,
    /// Somebody should know.
    Warning,
    /// Java would take it silently. A warning, or an error with `--strict`.
    Mistake,
    /// The server does not start.
    Error,
}

/// What became of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Where it was given; `None`: nowhere, and that is the finding.
    pub origin: Option<Origin>,
    /// Its name, if it is about one key.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What there is to say.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// Settings and what there is to say about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Only to be used if nothing [`refuses`](Self::refuses) the start.
    pub settings: Settings,
    /// One for each key given, in order, then those about several keys.
    pub findings: Vec<Finding>,
}

impl Loaded {
    /// The findings that stand against a start.
    pub fn refuses(&self, strict: bool) -> impl Iterator<Item = &Finding> {
        let bar = if strict { Severity::Mistake } else { Severity::Error };
        self.findings.iter().filter(move |finding| finding.severity >= bar)
    }
}

/// Reads all sources. `read` is asked for the file that `dynamicConfigFile` names, and for `myid` in an ensemble.
pub fn load(sources: &Sources, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Loaded {
    let mut loader = Loader {
        draft: Draft::new(sources.file.is_some()),
        findings: Vec::new(),
        origins: BTreeMap::new(),
    };
    let entries = loader.collect(sources);
    for entry in &entries {
        loader.take(entry, &entries);
    }
    loader.read_dynamic_config(read);
    loader.finish(read)
}

struct Entry {
    key: String,
    value: String,
    origin: Origin,
}

struct Loader {
    draft: Draft,
    findings: Vec<Finding>,
    /// Where each key that counts was given.
    origins: BTreeMap<String, Origin>,
}

impl Loader {
    fn collect(&mut self, sources: &Sources) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (variable, key, value) in &sources.java_options {
            entries.extend(self.java_entry(variable, key, value));
        }
        if let Some((path, bytes)) = &sources.file {
            entries.extend(self.parse(path, bytes).into_iter().map(|property| Entry {
                key: property.key,
                value: property.value,
                origin: Origin::File { path: path.clone(), line: property.line },
            }));
        }
        for (variable, value) in &sources.environment {
            entries.extend(self.environment_entry(variable, value));
        }
        for (key, value) in &sources.flags {
            let key = key.strip_prefix("zookeeper.").unwrap_or(key).to_owned();
            entries.push(Entry { key, value: value.trim().to_owned(), origin: Origin::Flag });
        }
        entries
    }

    fn parse(&mut self, path: &Path, bytes: &[u8]) -> Vec<Property> {
        properties::parse(&properties::text_of(bytes)).unwrap_or_else(|malformed| {
            let origin = Origin::File { path: path.to_owned(), line: malformed.line };
            self.find(Some(origin), None, None, Severity::Error, malformed.to_string());
            Vec::new()
        })
    }

    /// Most options of a JVM are no business of ours; those of a ZooKeeper server are.
    fn java_entry(&mut self, variable: &str, option: &str, value: &str) -> Option<Entry> {
        let origin = Origin::JavaOption(variable.to_owned());
        let property = option.strip_prefix("zookeeper.");
        let key = keys::find(property.unwrap_or(option));
        let kind = key.map(|key| key.kind);
        let text = match (property, kind) {
            (Some(_), Some(Kind::Property)) | (None, Some(Kind::Jvm)) => {
                let key = property.unwrap_or(option).to_owned();
                return Some(Entry { key, value: value.to_owned(), origin });
            }
            (Some(_), Some(Kind::Direct | Kind::Own)) => "no effect: it is read from the file only",
            (Some(_), Some(Kind::Jvm)) => "no effect, as in Java: it is written without the prefix",
            (Some(_), None) => "unknown key, no effect",
            (None, _) => return None,
        };
        let value = Some(value.to_owned());
        self.find(Some(origin), Some(option), value, Severity::Mistake, text.to_owned());
        None
    }

    fn environment_entry(&mut self, variable: &str, value: &str) -> Option<Entry> {
        let name = variable.strip_prefix("ZOETROPE_").unwrap_or(variable);
        let origin = Origin::Environment(variable.to_owned());
        if let Some((_, key)) = keys::find_in_environment(name) {
            return Some(Entry { key, value: value.trim().to_owned(), origin });
        }
        let value = Some(value.to_owned());
        self.find(Some(origin), None, value, Severity::Mistake, "unknown key: no effect".into());
        None
    }

    fn take(&mut self, entry: &Entry, entries: &[Entry]) {
        let (severity, text) = match entries.iter().rfind(|other| other.key == entry.key) {
            Some(last) if last.origin != entry.origin => {
                (Severity::Warning, format!("given again, which counts: {}", last.origin))
            }
            Some(_) | None => {
                self.origins.insert(entry.key.clone(), entry.origin.clone());
                self.verdict(entry)
            }
        };
        let origin = Some(entry.origin.clone());
        self.find(origin, Some(&entry.key), Some(entry.value.clone()), severity, text);
    }

    fn verdict(&mut self, entry: &Entry) -> (Severity, String) {
        let Some(key) = keys::find(&entry.key) else { return unknown(&entry.key) };
        let given = Given { key: &entry.key, value: &entry.value };
        match key.does {
            Does::Honoured(_, set) => match set(&mut self.draft, &given) {
                Ok(()) if is_directory(key) && is_relative(&entry.value) => {
                    (Severity::Note, "honoured; relative to where the server is started".into())
                }
                Ok(()) => (Severity::Honoured, "honoured".into()),
                Err(fault) => graded(fault),
            },
            Does::Nothing(why) => (Severity::Note, format!("accepted, no effect: {why}")),
            Does::Later(what) => (Severity::Note, not_yet(what)),
            Does::Missing(what) if asks_for_nothing(&entry.value) => {
                (Severity::Note, not_yet(what))
            }
            Does::Missing(what) => (Severity::Warning, not_yet(what)),
        }
    }

    fn read_dynamic_config(&mut self, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) {
        let Some(path) = self.draft.dynamic_config.clone() else { return };
        let origin = self.origins.get("dynamicConfigFile").cloned();
        let misplaced =
            |key: &&String| ["server.", "group", "weight"].iter().any(|stem| key.starts_with(stem));
        if let Some(key) = self.origins.keys().find(misplaced).cloned() {
            let text = format!("parameter: {key} must be in a separate dynamic config file");
            let origin = self.origins.get(&key).cloned();
            self.find(origin, None, None, Severity::Error, text);
            return;
        }
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let text = format!("Error processing {}: {error}", path.display());
                self.find(origin, Some("dynamicConfigFile"), None, Severity::Error, text);
                return;
            }
        };
        for property in self.parse(&path, &bytes) {
            let (severity, text) = self.dynamic_verdict(&property);
            let origin = Origin::File { path: path.clone(), line: property.line };
            self.origins.insert(property.key.clone(), origin.clone());
            self.find(Some(origin), Some(&property.key), Some(property.value), severity, text);
        }
    }

    fn dynamic_verdict(&mut self, property: &Property) -> (Severity, String) {
        let key = property.key.as_str();
        if ["server.", "group", "weight"].iter().any(|stem| key.starts_with(stem)) {
            let given = Given { key, value: &property.value };
            return match self.draft.quorum.add_line(&given) {
                Ok(()) => (Severity::Honoured, "honoured".into()),
                Err(fault) => graded(fault),
            };
        }
        let text = match key {
            "version" => "dynamic file shouldn't have version inside".to_owned(),
            _ => format!("Unrecognised parameter: {key}"),
        };
        (Severity::Error, text)
    }

    fn finish(mut self, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Loaded {
        let (settings, broken) = self.draft.clone().finish(read);
        for (key, fault) in broken {
            let origin = key.as_ref().and_then(|key| self.origins.get(key).cloned());
            let (severity, text) = graded(fault);
            self.find(origin, key.as_deref(), None, severity, text);
        }
        Loaded { settings, findings: self.findings }
    }

    fn find(
        &mut self,
        origin: Option<Origin>,
        key: Option<&str>,
        value: Option<String>,
        severity: Severity,
        text: String,
    ) {
        self.findings.push(Finding { origin, key: key.map(str::to_owned), value, severity, text });
    }
}

fn is_directory(key: &Key) -> bool {
    matches!(key.name, "dataDir" | "dataLogDir")
}

fn unknown(name: &str) -> (Severity, String) {
    if let Some(short) = name.strip_prefix("zookeeper.")
        && keys::find(short).is_some()
    {
        return (
            Severity::Mistake,
            format!("no effect, as in Java: in a file it is written without the prefix, {short}"),
        );
    }
    let known = keys::all().map(|key| key.name).filter(|name| !name.ends_with('*'));
    let text = match nearest(name, known) {
        Some(meant) => format!("unknown key, no effect: did you mean {meant}?"),
        None => "unknown key, no effect".to_owned(),
    };
    (Severity::Mistake, text)
}

fn not_yet(what: &str) -> String {
    format!("accepted, no effect yet: {what} is not part of this release")
}

/// Switching off what is not there costs nothing.
fn asks_for_nothing(value: &str) -> bool {
    value.is_empty() || value.eq_ignore_ascii_case("false")
}

fn graded(fault: Fault) -> (Severity, String) {
    match fault {
        Fault::Error(text) => (Severity::Error, text),
        Fault::Mistake(text) => (Severity::Mistake, text),
        Fault::Warning(text) => (Severity::Warning, text),
        Fault::Note(text) => (Severity::Note, text),
    }
}
