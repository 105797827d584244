//! `conf`, `envi` and `dirs`: settings, and what stands around the server (client protocol §5.4, §5.5).

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use zoetrope_io_tokio::{Settings, View};

use crate::settings::{DateFormat, files_of};
use crate::version;

pub(super) fn conf(view: &View<'_>) -> String {
    let settings = view.settings;
    let (data_dir, log_dir) = (files_of(&settings.data_dir), files_of(&settings.data_log_dir));
    let port = view.client_addr.map_or(-1, |addr| i32::from(addr.port()));
    let backlog = settings.backlog.map_or(-1, i64::from);
    let mut text = String::new();
    let _ = writeln!(text, "clientPort={port}");
    let _ = writeln!(text, "secureClientPort=-1");
    let _ = writeln!(text, "dataDir={}", data_dir.display());
    let _ = writeln!(text, "dataDirSize={}", size(&data_dir));
    let _ = writeln!(text, "dataLogDir={}", log_dir.display());
    let _ = writeln!(text, "dataLogSize={}", size(&log_dir));
    let _ = writeln!(text, "tickTime={}", settings.core.tick_ms);
    let _ = writeln!(text, "maxClientCnxns={}", settings.max_client_cnxns);
    let _ = writeln!(text, "minSessionTimeout={}", settings.core.timeout_min());
    let _ = writeln!(text, "maxSessionTimeout={}", settings.core.timeout_max());
    let _ = writeln!(text, "clientPortListenBacklog={backlog}");
    let _ = writeln!(text, "serverId=0");
    text
}

pub(super) fn dirs(settings: &Settings) -> String {
    format!(
        "datadir_size: {}\nlogdir_size: {}\n",
        size(&files_of(&settings.data_dir)),
        size(&files_of(&settings.data_log_dir))
    )
}

/// Java's keys, because programs look for them; where there is no JVM the value says so.
pub(super) fn envi(date_format: DateFormat) -> String {
    let none = || "none".to_owned();
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let memory = |field: &str| format!("{}MB", memory_mb(field));
    let rows = [
        ("zookeeper.version", version::with_date(date_format)),
        ("host.name", file_line("/proc/sys/kernel/hostname")),
        ("java.version", none()),
        ("java.vendor", "Zoetrope".to_owned()),
        ("java.home", none()),
        ("java.class.path", none()),
        ("java.library.path", none()),
        ("java.io.tmpdir", env::temp_dir().display().to_string()),
        ("java.compiler", none()),
        ("os.name", os_name().to_owned()),
        ("os.arch", architecture().to_owned()),
        ("os.version", file_line("/proc/sys/kernel/osrelease")),
        ("user.name", variable("USER")),
        ("user.home", variable("HOME")),
        ("user.dir", env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default()),
        ("os.memory.free", memory("MemFree:")),
        ("os.memory.max", memory("MemTotal:")),
        ("os.memory.total", memory("MemTotal:")),
    ];
    let lines = rows.map(|(key, value)| format!("{key}={value}\n"));
    format!("Environment:\n{}", lines.concat())
}

/// Open file descriptors, and how many there may be; -1 where the system does not say.
pub(super) fn file_descriptors() -> (i64, i64) {
    let open = fs::read_dir("/proc/self/fd").map_or(-1, |entries| entries.count() as i64);
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let row = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let max = row.and_then(|row| row.split_whitespace().next()?.parse().ok());
    (open, max.unwrap_or(-1))
}

fn size(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

fn file_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn memory_mb(field: &str) -> u64 {
    let all = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let row = all.lines().find_map(|line| line.strip_prefix(field));
    let kib = row.and_then(|row| row.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn os_name() -> &'static str {
    match env::consts::OS {
        "linux" => "Linux",
        "macos" => "Mac OS X",
        other => other,
    }
}

fn architecture() -> &'static str {
    match env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    }
}
