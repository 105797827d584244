//! Three servers as processes, as a newcomer starts them.

mod common;

use common::{Scratch, zoetrope};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

struct Ensemble(Child);

impl Drop for Ensemble {
    fn drop(&mut self) {
        // Told to end, it takes its servers with it.
        let pid = self.0.id().to_string();
        let _ = std::process::Command::new("kill").arg(pid).status();
        let _ = self.0.wait();
    }
}

fn word(port: u16, word: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(word.as_bytes()).ok()?;
    stream.shutdown(Shutdown::Write).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn mode(port: u16) -> Option<String> {
    let answer = word(port, "srvr")?;
    let line = answer.lines().find_map(|line| line.strip_prefix("Mode: "))?;
    Some(line.to_owned())
}

/// A port whose neighbours, and those a thousand and two thousand above, are free as well.
fn free_ports() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = 12_000 + (std::process::id() % 5_000) as u16;
    let fits = |base: &u16| [0, 1000, 2000].iter().all(|up| (0..3).all(|n| free(base + up + n)));
    (start..start + 900).step_by(3).find(fits).expect("free ports")
}

#[test]
fn three_servers_elect_a_leader_and_serve() {
    let scratch = Scratch::new();
    let port = free_ports();
    let dir = scratch.0.join("servers");
    let child = zoetrope()
        .args(["ensemble", "--port", &port.to_string(), "--dir"])
        .arg(&dir)
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let _ensemble = Ensemble(child);
    let ports = [port, port + 1, port + 2];
    let until = Instant::now() + Duration::from_secs(30);
    let modes = loop {
        let modes: Vec<Option<String>> = ports.iter().map(|port| mode(*port)).collect();
        if modes.iter().all(Option::is_some) {
            break modes;
        }
        assert!(Instant::now() < until, "after 30 s: {modes:?}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut modes: Vec<String> = modes.into_iter().flatten().collect();
    modes.sort();
    assert_eq!(modes, ["follower", "follower", "leader"]);
}

#[test]
fn servers_that_cannot_start_say_why_and_the_ensemble_fails() {
    let scratch = Scratch::new();
    let dir = scratch.0.join("servers");
    std::fs::create_dir_all(dir.join("server-1/data")).unwrap();
    std::fs::write(dir.join("server-1/log"), "from an earlier run\n").unwrap();
    std::fs::write(dir.join("server-1/data/version-2"), "in the way").unwrap();
    let port = free_ports().to_string();
    let mut command = zoetrope();
    command.args(["ensemble", "--servers", "1", "--port", &port, "--dir"]).arg(&dir);
    let ended = command.output().expect("it starts");
    let out = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{out}");
    assert!(out.contains("server 1 has ended, exit status: 3: "), "{out}");
    assert!(out.contains("version-2 is not a directory"), "{out}");
    let log = std::fs::read_to_string(dir.join("server-1/log")).unwrap();
    assert!(log.starts_with("from an earlier run\n"), "{log}");
}
