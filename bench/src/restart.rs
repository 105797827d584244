//! `restart`: from exec to the first reply.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::engine::{ask, session_within};
use crate::run::median;
use crate::wire::Op;

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server that is still starting may take a connection and never answer on it (Java does).
const IMPATIENCE: Duration = Duration::from_millis(250);

/// `NAME=HOST:PORT=COMMAND`: words of the command are split at blanks.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    name: String,
    addr: SocketAddr,
    command: Vec<String>,
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '=');
        let (Some(name), Some(addr), Some(command)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err("a start is NAME=HOST:PORT=COMMAND".to_owned());
        };
        let addr = addr
            .to_socket_addrs()
            .map_err(|e| format!("{addr}: {e}"))?
            .next()
            .ok_or_else(|| format!("{addr} has no address"))?;
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if command.is_empty() {
            return Err(format!("{name} has no command"));
        }
        Ok(Self { name: name.to_owned(), addr, command })
    }
}

fn end(mut child: Child) -> io::Result<()> {
    Command::new("kill").arg(child.id().to_string()).status()?;
    let until = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() > until {
            child.kill()?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Starts a server, waits for the reply to an `exists`, ends the server; seconds and peak KiB.
fn once(start: &Start) -> io::Result<(f64, f64)> {
    let began = Instant::now();
    let mut child = Command::new(&start.command[0])
        .args(&start.command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let seconds = loop {
        if let Ok(mut stream) = session_within(start.addr, IMPATIENCE)
            && ask(&mut stream, Op::Exists("/")).is_ok()
        {
            let seconds = began.elapsed().as_secs_f64();
            ask(&mut stream, Op::CloseSession)?;
            break seconds;
        }
        if let Some(status) = child.try_wait()? {
            return Err(io::Error::other(format!("{} ended: {status}", start.name)));
        }
        if began.elapsed() > PATIENCE {
            child.kill()?;
            return Err(io::Error::other(format!("{} did not answer", start.name)));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0);
    end(child)?;
    Ok((seconds, peak))
}

/// Starts every server in turn, `times` times after one that warms the page cache, and prints the
/// medians.
pub(crate) fn restart(starts: &[Start], times: usize) -> io::Result<()> {
    let mut seconds = vec![Vec::new(); starts.len()];
    let mut peaks = vec![Vec::new(); starts.len()];
    for round in 0..=times {
        for (index, start) in starts.iter().enumerate() {
            let (took, peak) = once(start)?;
            if round > 0 {
                seconds[index].push(took);
                peaks[index].push(peak / 1024.0);
            }
        }
    }
    let medians: Vec<f64> = seconds.into_iter().map(median).collect();
    println!("| target | exec to first reply, ms | ratio | peak MiB |\n|---|---|---|---|");
    for ((start, took), peak) in starts.iter().zip(&medians).zip(peaks) {
        let (ratio, peak) = (took / medians[0], median(peak));
        println!("| {} | {:.0} | {ratio:.3} | {peak:.1} |", start.name, took * 1000.0);
    }
    Ok(())
}
