//! `load`: many znodes, and what they cost.

use std::io;
use std::time::{Duration, Instant};

use crate::engine::{Engine, Workload};
use crate::target::Target;
use crate::wire::{self, Op};

/// Children of one znode: wide enough to be usual, narrow enough for a getChildren.
const WIDTH: u64 = 1000;

/// Longer than any load takes.
const EVER: Duration = Duration::from_secs(3600);

struct Parents(u64);

struct Leaves {
    next: u64,
    end: u64,
    data: Vec<u8>,
}

impl Workload for Parents {
    fn next(&mut self, _conn: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        if self.0 == 0 {
            return false;
        }
        self.0 -= 1;
        wire::request(out, xid, Op::Create(&format!("/load/p{:06}", self.0), &[]));
        true
    }
}

impl Workload for Leaves {
    fn next(&mut self, _conn: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        if self.next == self.end {
            return false;
        }
        let path = format!("/load/p{:06}/node-{:010}", self.next / WIDTH, self.next);
        self.next += 1;
        wire::request(out, xid, Op::Create(&path, &self.data));
        true
    }
}

struct Root(bool);

impl Workload for Root {
    fn next(&mut self, _conn: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        if !self.0 {
            wire::request(out, xid, Op::Create("/load", &[]));
        }
        !std::mem::replace(&mut self.0, true)
    }
}

/// Creates the znodes of one target and prints time and memory.
pub(crate) fn load(target: &Target, znodes: u64, bytes: usize) -> io::Result<()> {
    let memory = |line| target.memory_kib(line).map_or(0.0, |kib| kib as f64 / 1024.0);
    let before = memory("VmRSS");
    let started = Instant::now();
    let cpu = target.cpu_micros();
    let mut engine = Engine::connect(&target.addrs, 8)?;
    engine.run(&mut Root(false), 1, started + EVER)?;
    engine.run(&mut Parents(znodes.div_ceil(WIDTH)), 64, started + EVER)?;
    engine.run(
        &mut Leaves { next: 0, end: znodes, data: vec![0x5a; bytes] },
        128,
        started + EVER,
    )?;
    let counts = engine.take();
    engine.close()?;
    let seconds = started.elapsed().as_secs_f64();
    if counts.errors > 0 {
        let what = format!("{} creates failed, e.g. with {}", counts.errors, counts.last_error);
        return Err(io::Error::other(what));
    }
    let cpu = target.cpu_micros().zip(cpu).map_or(0.0, |(after, before)| (after - before) as f64);
    println!(
        "| target | znodes | seconds | CPU s | before MiB | resident MiB | peak MiB | bytes/znode |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    println!(
        "| {} | {znodes} | {seconds:.1} | {:.1} | {before:.1} | {:.1} | {:.1} | {:.0} |",
        target.name,
        cpu / 1e6,
        memory("VmRSS"),
        memory("VmHWM"),
        (memory("VmRSS") - before) * 1024.0 * 1024.0 / znodes as f64
    );
    Ok(())
}
