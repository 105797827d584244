//! `zoetrope ensemble`: several servers of one ensemble on this machine, to try it. Each is a process of its own with a
//! zoo.cfg of its own, so that it can be killed, looked at and copied.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::EnsembleArgs;
use crate::exit::Exit;

/// Starts the servers and waits until they end, or until this process is told to: then they end with it.
pub fn run(args: &EnsembleArgs) -> Exit {
    let outcome = start(args).and_then(|mut children| {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let told = runtime.block_on(async { wait(&mut children, &args.dir).await });
        for (_, child) in &mut children {
            // Ctrl-C in a terminal has reached them already. Nothing that was acknowledged is lost either way.
            child.kill()?;
            child.wait()?;
        }
        told
    });
    match outcome {
        Ok(()) => Exit::Success,
        Err(error) => {
            eprintln!("zoetrope: the ensemble cannot run: {error}");
            Exit::Failure
        }
    }
}

/// The client port of a server, from 1 on. Its quorum and election ports follow, a thousand and two thousand above.
fn client_port(args: &EnsembleArgs, sid: u16) -> u16 {
    args.port + sid - 1
}

fn configuration(args: &EnsembleArgs, sid: u16, data: &Path) -> String {
    let mut text = format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n\
         4lw.commands.whitelist=*\nstandaloneEnabled=false\n",
        data.display(),
        client_port(args, sid),
    );
    for other in 1..=args.servers {
        let port = client_port(args, other);
        text += &format!("server.{other}=127.0.0.1:{}:{}\n", port + 1000, port + 2000);
    }
    text
}

fn start(args: &EnsembleArgs) -> io::Result<Vec<(u16, Child)>> {
    let program = std::env::current_exe()?;
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", args.dir.display()));
    fs::create_dir_all(&args.dir).map_err(named)?;
    let root = args.dir.canonicalize()?;
    let mut children = Vec::new();
    for sid in 1..=args.servers {
        let home = root.join(format!("server-{sid}"));
        let data = home.join("data");
        fs::create_dir_all(&data)?;
        fs::write(data.join("myid"), format!("{sid}\n"))?;
        let file = home.join("zoo.cfg");
        fs::write(&file, configuration(args, sid, &data))?;
        // What an earlier run had to say may still be wanted, and that run may still be going on.
        let log = fs::OpenOptions::new().create(true).append(true).open(home.join("log"))?;
        let child = Command::new(&program)
            .arg("server")
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        println!(
            "server {sid}: clients on 127.0.0.1:{}, process {}, files and log in {}",
            client_port(args, sid),
            child.id(),
            home.display()
        );
        children.push((sid, child));
    }
    let hosts: Vec<String> =
        (1..=args.servers).map(|sid| format!("127.0.0.1:{}", client_port(args, sid))).collect();
    println!("connect with `zkCli.sh -server {}`; Ctrl-C stops all of them", hosts.join(","));
    Ok(children)
}

/// The last thing that server had to say.
fn last_words(dir: &Path, sid: u16) -> String {
    let log = fs::read(dir.join(format!("server-{sid}")).join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    log.lines().next_back().unwrap_or("its log is empty").to_owned()
}

/// Until a signal comes, or the last one has ended; an error when that was not by a signal.
async fn wait(children: &mut Vec<(u16, Child)>, dir: &Path) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut failed = false;
    while !children.is_empty() {
        children.retain_mut(|(sid, child)| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                failed |= !status.success();
                println!("server {sid} has ended, {status}: {}", last_words(dir, *sid));
                false
            }
            Err(_) => false,
        });
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => {
                // They have been told too, and take a moment.
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Ok(());
            }
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
    match failed {
        true => Err(io::Error::other("all its servers have ended")),
        false => Ok(()),
    }
}
