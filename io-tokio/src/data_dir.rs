//! Finds, checks, locks and lists the data directories at start. Interprets no file (storage §5.1, §5.2).

use crate::files::{self as fs, File};
use crate::settings::{RunError, Settings};
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use zoetrope_core::{Dir, Epoch, FilePlace, Listing};

/// The two data directories, locked as long as this lives.
#[derive(Debug)]
pub struct DataDirs {
    /// `dataLogDir/version-2`.
    pub log: PathBuf,
    /// `dataDir/version-2`.
    pub snapshot: PathBuf,
    _locks: Vec<File>,
}

/// A name that Java ignores.
const LOCK: &str = "zoetrope.lock";
/// The snapshot being written.
pub(crate) const SNAPSHOT_IN_THE_MAKING: &str = "zoetrope-snapshot";

impl DataDirs {
    /// Opens both directories, creating them where that is allowed.
    pub fn open(settings: &Settings) -> Result<Self, RunError> {
        let snapshot = open_one(&settings.data_dir, settings.datadir_autocreate)?;
        let log = open_one(&settings.data_log_dir, settings.datadir_autocreate)?;
        let mut locks = vec![lock(&snapshot)?];
        let same = same_dir(&snapshot, &log);
        if !same {
            locks.push(lock(&log)?);
            refuse(&log, "snapshot.", "Log directory has snapshot files")?;
            refuse(&snapshot, "log.", "Snapshot directory has log files")?;
        }
        // Left over from a crash; it has no name that anybody would load.
        let _ = fs::remove_file(snapshot.join(SNAPSHOT_IN_THE_MAKING));
        let log = if same { snapshot.clone() } else { log };
        Ok(Self { log, snapshot, _locks: locks })
    }

    /// What stands in them.
    pub fn list(&self) -> Result<Listing, RunError> {
        let same_dir = self.log == self.snapshot;
        let mut files = Vec::new();
        list_one(
            &self.snapshot,
            |name| match same_dir && !name.starts_with("snapshot.") {
                true => Dir::Log,
                false => Dir::Snapshot,
            },
            &mut files,
        )?;
        if !same_dir {
            list_one(&self.log, |_| Dir::Log, &mut files)?;
        }
        files.sort_by(|(a, _), (b, _)| (a.dir, &a.name).cmp(&(b.dir, &b.name)));
        let accepted_epoch = self.epoch("acceptedEpoch")?;
        let current_epoch = self.epoch("currentEpoch")?;
        if accepted_epoch.or(current_epoch).is_some() {
            self.settle_names()?;
        }
        Ok(Listing { files, same_dir, accepted_epoch, current_epoch })
    }

    /// A process that was killed may have left epoch files in the system's memory only. Whoever has read them counts on them.
    fn settle_names(&self) -> Result<(), RunError> {
        let synced = File::open(&self.snapshot).and_then(|dir| dir.sync_all());
        let told = |error| format!("cannot sync {}: {error}", self.snapshot.display());
        synced.map_err(|error| RunError::DataDir(told(error)))
    }

    /// The number in an epoch file: decimal, in its first line (quorum protocol §1.3).
    fn epoch(&self, name: &str) -> Result<Option<Epoch>, RunError> {
        let path = self.snapshot.join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let what = format!("cannot read {}: {error}", path.display());
                return Err(RunError::DataDir(what));
            }
        };
        let line = text.lines().next().unwrap_or_default();
        line.trim().parse().map(|epoch| Some(Epoch(epoch))).map_err(|_| {
            RunError::DataDir(format!(
                "{} says {line:?}, which is no epoch. Copy the file from a backup of this server; without it the \
                 server would forget what it promised to a leader",
                path.display()
            ))
        })
    }

    /// Where a file is.
    pub fn path(&self, place: &FilePlace) -> PathBuf {
        match place.dir {
            Dir::Log => self.log.join(&place.name),
            Dir::Snapshot => self.snapshot.join(&place.name),
        }
    }

    /// Bytes of all files in the snapshot and in the log directory.
    pub fn sizes(&self) -> (u64, u64) {
        let size = |dir: &Path| {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
        };
        (size(&self.snapshot), size(&self.log))
    }
}

fn same_dir(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

fn list_one(
    dir: &Path,
    kind: impl Fn(&str) -> Dir,
    files: &mut Vec<(FilePlace, u64)>,
) -> Result<(), RunError> {
    let cannot =
        |error: io::Error| RunError::DataDir(format!("cannot list {}: {error}", dir.display()));
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let meta = entry.metadata().map_err(cannot)?;
        // Every name that matters is ASCII.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if meta.is_dir() && !name.starts_with("snapshot.") {
            continue;
        }
        files.push((FilePlace { dir: kind(&name), name }, meta.len()));
    }
    Ok(())
}

fn open_one(dir: &Path, create: bool) -> Result<PathBuf, RunError> {
    let versioned = dir.join("version-2");
    let problem = |what: String| Err(RunError::DataDir(what));
    match fs::metadata(&versioned) {
        Ok(meta) if !meta.is_dir() => {
            return problem(format!("{} is not a directory", versioned.display()));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            if let Err(error) =
                fs::create_dir_all(&versioned).and_then(|()| sync_parents(&versioned))
            {
                return problem(format!(
                    "Unable to create data directory {}: {error}",
                    versioned.display()
                ));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return problem(format!(
                "Missing data directory {}, automatic data directory creation is disabled (datadir.autocreate is \
                 false). Please create this directory manually",
                versioned.display()
            ));
        }
        Err(error) => return problem(format!("cannot look at {}: {error}", versioned.display())),
    }
    let probe = versioned.join("zoetrope-probe");
    if let Err(error) = File::create(&probe).and_then(|_| fs::remove_file(&probe)) {
        // A full disk is no reason not to serve reads.
        if error.kind() != io::ErrorKind::StorageFull {
            return problem(format!(
                "Cannot write to data directory {}: {error}",
                versioned.display()
            ));
        }
    }
    Ok(versioned)
}

/// A new directory survives a loss of power when its parent is synced.
fn sync_parents(dir: &Path) -> io::Result<()> {
    for parent in dir.ancestors().skip(1).take(2) {
        if !parent.as_os_str().is_empty() {
            File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, RunError> {
    let path = dir.join(LOCK);
    let cannot = |what: &str| RunError::DataDir(format!("cannot lock {}: {what}", path.display()));
    let options = File::options().create(true).truncate(false).write(true).open(&path);
    let file = match options {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            File::open(dir).map_err(|error| cannot(&error.to_string()))?
        }
        Err(error) => return Err(cannot(&error.to_string())),
    };
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::DataDir(format!(
            "{} is in use by another Zoetrope server. Two servers on one directory would destroy it; stop the other \
             one, or give this one a dataDir of its own",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(cannot(&error.to_string())),
    }
}

fn refuse(dir: &Path, prefix: &str, what: &str) -> Result<(), RunError> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Err(RunError::DataDir(format!(
                "{what}. Check if dataLogDir and dataDir configuration is correct ({})",
                entry.path().display()
            )));
        }
    }
    Ok(())
}
