//! From the command line to a running server, and from its end to an exit code.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::rc::Rc;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;
use tracing::{debug, error, info, warn};
use zoetrope_io_tokio as io_tokio;

use crate::args::ServerArgs;
use crate::config_file::{Loaded, Severity};
use crate::exit::Exit;
use crate::settings::{Listen, Settings, files_of};
use crate::telemetry::{self, Log};
use crate::words::{FourLetterWords, Startup};
use crate::{sources, version};

/// Serves until a signal ends it.
pub fn serve(args: &ServerArgs) -> Exit {
    telemetry::start(args.log_format, args.log_level);
    telemetry::exit_on_panic();
    info!("zoetrope {}, process {}", version::LONG, std::process::id());
    let file = args.config.clone().or_else(sources::default_file);
    let loaded = match sources::read(file.as_deref(), &args.set) {
        Ok(loaded) => loaded,
        Err(sentence) => return refuse(Exit::Configuration, &sentence),
    };
    report(&loaded, args.strict);
    if loaded.refuses(args.strict).next().is_some() {
        return refuse(Exit::Configuration, "not started: the configuration is wrong, see above");
    }
    let mut settings = match for_driver(&loaded.settings) {
        Ok(settings) => settings,
        Err(sentence) => return refuse(Exit::Configuration, &sentence),
    };
    if let Some(dir) = &args.record {
        info!("everything this server is told is recorded in {}, passwords too", dir.display());
        settings.recording = Some(io_tokio::Recording {
            dir: dir.clone(),
            file_bytes: u64::from(args.record_size) << 20,
            files: args.record_files,
        });
    }
    run(settings, &loaded.settings, file.is_none())
}

fn refuse(exit: Exit, sentence: &str) -> Exit {
    error!("{sentence}");
    exit
}

fn report(loaded: &Loaded, strict: bool) {
    for finding in &loaded.findings {
        match finding.severity {
            Severity::Honoured => debug!("{finding}"),
            Severity::Note => info!("{finding}"),
            Severity::Mistake if strict => error!("{finding}"),
            Severity::Warning | Severity::Mistake => warn!("{finding}"),
            Severity::Error => error!("{finding}"),
        }
    }
}

fn run(settings: io_tokio::Settings, all: &Settings, newcomer: bool) -> Exit {
    let startup = Rc::new(Cell::new(Startup::default()));
    let (data_dir, log_dir) = (files_of(&settings.data_dir), files_of(&settings.data_log_dir));
    if data_dir == log_dir {
        info!("data in {}", data_dir.display());
    } else {
        info!("snapshots in {}, log in {}", data_dir.display(), log_dir.display());
    }
    let log = Log::new(data_dir, log_dir, newcomer, startup.clone());
    let words = FourLetterWords::new(all.words.clone(), startup);
    // The driver's tasks share one thread; the disk has threads of its own.
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(Exit::Failure, &format!("no runtime: {error}")),
    };
    let outcome = LocalSet::new().block_on(&runtime, async {
        match told_to_stop() {
            Ok(stop) => io_tokio::run(settings, words, log, stop).await.map_err(|error| {
                let exit = match error {
                    io_tokio::RunError::Configuration(_) => Exit::Configuration,
                    io_tokio::RunError::DataDir(_) => Exit::DataDirectory,
                    io_tokio::RunError::PeerPort { .. } => Exit::PeerPort,
                    io_tokio::RunError::Listen { .. } | io_tokio::RunError::Halted(_) => {
                        Exit::Failure
                    }
                };
                (exit, error.to_string())
            }),
            Err(error) => Err((Exit::Failure, format!("signals cannot be waited for: {error}"))),
        }
    });
    match outcome {
        Ok(()) => {
            info!("stopped");
            Exit::Success
        }
        Err((exit, sentence)) => refuse(exit, &sentence),
    }
}

fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        info!("{name}: stopping. Sessions go on when the server is started again");
    })
}

fn for_driver(settings: &Settings) -> Result<io_tokio::Settings, String> {
    let data_log_dir = settings.log_dir.clone().unwrap_or_else(|| settings.data_dir.clone());
    Ok(io_tokio::Settings {
        core: settings.core.clone(),
        seed: RandomState::new().build_hasher().finish(),
        data_dir: settings.data_dir.clone(),
        data_log_dir,
        datadir_autocreate: settings.autocreate,
        client_addr: Some(address(&settings.listen)?),
        backlog: settings.listen.backlog,
        max_client_cnxns: settings.listen.per_address_max,
        max_cnxns: settings.listen.total_max,
        tcp_keepalive: settings.listen.keep_alive,
        fsync_warning_ms: settings.fsync_warning_ms,
        peers: settings.peers.clone(),
        recording: None,
    })
}

/// All addresses are those of both families, where the machine has both.
fn address(listen: &Listen) -> Result<SocketAddr, String> {
    let Some(host) = &listen.host else {
        let both = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
        return Ok(match both {
            true => (Ipv6Addr::UNSPECIFIED, listen.port).into(),
            false => (Ipv4Addr::UNSPECIFIED, listen.port).into(),
        });
    };
    let found = (host.as_str(), listen.port).to_socket_addrs();
    let first = found.map_err(|error| error.to_string()).map(|mut all| all.next());
    match first {
        Ok(Some(addr)) => Ok(addr),
        Ok(None) => Err(format!("clientPortAddress: {host} has no address")),
        Err(error) => Err(format!("clientPortAddress: {host} cannot be resolved: {error}")),
    }
}
