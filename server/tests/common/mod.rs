//! The binary started as a child: a directory of its own, its log, its answers.

#![allow(dead_code, reason = "every test program uses its own part")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) fn zoetrope() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zoetrope"));
    for (name, _) in std::env::vars() {
        if name.starts_with("ZOETROPE_") || name.ends_with("JVMFLAGS") {
            command.env_remove(name);
        }
    }
    command
}

/// A directory of its own, removed at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("zoetrope-cli-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    /// A configuration with any free port on this machine.
    pub(crate) fn zoo_cfg(&self, more: &str) -> PathBuf {
        let data = self.0.join("data");
        let text = format!(
            "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\n{more}",
            data.display()
        );
        self.file("zoo.cfg", &text)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    (status.code(), text(&stdout), text(&stderr))
}

/// A server that serves, ended with the test.
pub(crate) struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    pub(crate) seen: String,
    pub(crate) addr: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let mut running = Self { child, log, seen: String::new(), addr: String::new() };
        let line = running.wait_for("serving clients on ");
        let rest = line.split("serving clients on ").nth(1).expect("an address");
        let end = rest.find([' ', '"']).unwrap_or(rest.len());
        running.addr = rest[..end].trim().to_owned();
        running
    }

    /// The first line from here on that has this in it.
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).expect("a log");
            assert!(read > 0, "the log ended without {part:?}:\n{}", self.seen);
            self.seen.push_str(&line);
            if line.contains(part) {
                return line;
            }
        }
    }

    pub(crate) fn word(&self, word: &str) -> String {
        let mut stream = TcpStream::connect(&self.addr).expect("a connection");
        stream.write_all(word.as_bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("half closed");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    pub(crate) fn signal(&mut self, name: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
        assert!(sent.expect("a shell").success());
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
