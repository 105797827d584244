//! A server or an ensemble under load: where it is, and what the system says its processes have used.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Microseconds of one tick of `/proc/PID/stat`: Linux shows 100 a second to every program.
const TICK_MICROS: u64 = 10_000;

/// `NAME=HOST:PORT[+HOST:PORT...][,pid=N...][,data=DIR]`. Several addresses are members of one ensemble.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// Connections go to each in turn.
    pub(crate) addrs: Vec<SocketAddr>,
    pids: Vec<u32>,
    pub(crate) data: Option<PathBuf>,
}

const USAGE: &str = "a target is NAME=HOST:PORT[+HOST:PORT...][,pid=N...][,data=DIR]";

fn resolve(addr: &str) -> Result<SocketAddr, String> {
    let mut found = addr.to_socket_addrs().map_err(|e| format!("{addr}: {e}"))?;
    found.next().ok_or_else(|| format!("{addr} has no address"))
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let (name, addrs) = parts.next().and_then(|first| first.split_once('=')).ok_or(USAGE)?;
        let addrs: Vec<SocketAddr> = addrs.split('+').map(resolve).collect::<Result<_, _>>()?;
        let (mut pids, mut data) = (Vec::new(), None);
        for part in parts {
            match part.split_once('=') {
                Some(("pid", value)) => {
                    pids.push(value.parse().map_err(|_| format!("{value} is no process"))?);
                }
                Some(("data", value)) => data = Some(PathBuf::from(value)),
                _ => return Err(format!("{part} is neither pid=N nor data=DIR")),
            }
        }
        if pids.is_empty() {
            // Of an ensemble all are counted or none: a sum without one of them would flatter.
            let found: Option<Vec<u32>> = addrs.iter().map(|addr| listener(addr.port())).collect();
            pids = found.unwrap_or_default();
        }
        Ok(Self { name: name.to_owned(), addrs, pids, data })
    }
}

impl Target {
    /// Microseconds of CPU that all its processes have used so far, children's and kernel's time for them included.
    pub(crate) fn cpu_micros(&self) -> Option<u64> {
        self.sum(cpu_ticks).map(|ticks| ticks * TICK_MICROS)
    }

    /// KiB of a line of `/proc/PID/status`, such as `VmRSS` or `VmHWM`, of all its processes.
    pub(crate) fn memory_kib(&self, line: &str) -> Option<u64> {
        self.sum(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let rest = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'))?;
            rest.split_whitespace().next()?.parse().ok()
        })
    }

    fn sum(&self, of: impl Fn(u32) -> Option<u64>) -> Option<u64> {
        let all: Option<Vec<u64>> = self.pids.iter().map(|pid| of(*pid)).collect();
        all.filter(|all| !all.is_empty()).map(|all| all.iter().sum())
    }
}

/// User and system time of a process.
fn cpu_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; what follows it may not.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// The process that listens on a port, found by the socket's inode.
fn listener(port: u16) -> Option<u32> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        fs::read_to_string(table).ok()?.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = fields.get(1)?.rsplit_once(':')?.1;
            let listens = *fields.get(3)? == "0A";
            (listens && u16::from_str_radix(local, 16) == Ok(port))
                .then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
        })
    })?;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for file in files.flatten() {
            if fs::read_link(file.path()).is_ok_and(|link| link.to_string_lossy() == inode) {
                return Some(pid);
            }
        }
    }
    None
}
