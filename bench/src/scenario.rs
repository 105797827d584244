//! What is measured: an operation, how many connections, how much in flight on each.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::{Workload, ask, session};
use crate::wire::{self, Op};

/// Znodes that reads and setData touch.
const NODES: u32 = 1000;

/// Children of the znode that getChildren asks for.
const CHILDREN: u32 = 16;

/// Of a hundred operations of the mixed load, those that write.
const MIXED_WRITES: u64 = 10;

/// How long a member of an ensemble may take to have what another one has.
const PATIENCE: Duration = Duration::from_secs(20);

/// The data of every znode: 100 bytes.
pub(crate) const DATA: [u8; 100] = [0x5a; 100];

/// What a scenario does over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    Create,
    Read,
    Children,
    Mixed,
}

/// `KIND:CONNECTIONSxDEPTH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) kind: Kind,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not {{write|create|read|children|mixed}}:NxM");
        let (kind, size) = text.split_once(':').ok_or_else(wrong)?;
        let (connections, depth) = size.split_once('x').ok_or_else(wrong)?;
        let kind = match kind {
            "write" => Kind::Write,
            "create" => Kind::Create,
            "read" => Kind::Read,
            "children" => Kind::Children,
            "mixed" => Kind::Mixed,
            _ => return Err(wrong()),
        };
        let number = |n: &str| n.parse().ok().filter(|n| *n > 0).ok_or_else(wrong);
        Ok(Self { kind, connections: number(connections)?, depth: number(depth)? })
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Write => "write",
            Kind::Create => "create",
            Kind::Read => "read",
            Kind::Children => "children",
            Kind::Mixed => "mixed",
        };
        write!(f, "{kind}:{}x{}", self.connections, self.depth)
    }
}

/// Makes the znodes that the scenarios use, unless they are there, and waits until every member has them.
pub(crate) fn prepare(addrs: &[SocketAddr]) -> io::Result<()> {
    const NODE_EXISTS: i32 = -110;
    /// Whoever has this one has them all.
    const LAST: &str = "/bench/made";
    let mut stream = session(addrs[0])?;
    if ask(&mut stream, Op::Exists(LAST))? != 0 {
        let mut make = |path: &str| match ask(&mut stream, Op::Create(path, &DATA))? {
            0 | NODE_EXISTS => Ok(()),
            code => Err(io::Error::other(format!("creating {path} answered {code}"))),
        };
        make("/bench")?;
        for node in 0..NODES {
            make(&format!("/bench/n{node}"))?;
        }
        make("/bench/parent")?;
        for child in 0..CHILDREN {
            make(&format!("/bench/parent/child-{child:010}"))?;
        }
        make(LAST)?;
    }
    ask(&mut stream, Op::CloseSession)?;
    for addr in addrs {
        let (mut stream, until) = (session(*addr)?, Instant::now() + PATIENCE);
        while ask(&mut stream, Op::Exists(LAST))? != 0 {
            if Instant::now() > until {
                return Err(io::Error::other(format!("{addr} lacks what another member has")));
            }
            thread::sleep(Duration::from_millis(10));
        }
        ask(&mut stream, Op::CloseSession)?;
    }
    Ok(())
}

/// The endless stream of a scenario's requests.
pub(crate) struct Stream {
    kind: Kind,
    paths: Vec<String>,
    random: u64,
    /// Znodes created so far, which `Removal` deletes again.
    created: u64,
    path: String,
}

impl Stream {
    pub(crate) fn new(kind: Kind) -> Self {
        let paths = (0..NODES).map(|node| format!("/bench/n{node}")).collect();
        Self { kind, paths, random: 0x9e37_79b9_7f4a_7c15, created: 0, path: String::new() }
    }

    /// Deletes what this stream created.
    pub(crate) fn removal(self) -> Removal {
        Removal { left: self.created }
    }

    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Workload for Stream {
    fn next(&mut self, _conn: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        let draw = self.draw();
        let node = usize::try_from((draw >> 20) % u64::from(NODES)).expect("below a thousand");
        let path = &self.paths[node];
        let op = match self.kind {
            Kind::Write => Op::SetData(path, &DATA),
            Kind::Read => Op::GetData(path),
            Kind::Children => Op::GetChildren("/bench/parent"),
            Kind::Mixed if draw % 100 < MIXED_WRITES => Op::SetData(path, &DATA),
            Kind::Mixed => Op::GetData(path),
            Kind::Create => {
                self.path = format!("/bench/made/{:010}", self.created);
                self.created += 1;
                Op::Create(&self.path, &DATA)
            }
        };
        wire::request(out, xid, op);
        true
    }
}

/// Deletes created znodes.
pub(crate) struct Removal {
    left: u64,
}

impl Workload for Removal {
    fn next(&mut self, _conn: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        wire::request(out, xid, Op::Delete(&format!("/bench/made/{:010}", self.left)));
        true
    }
}
