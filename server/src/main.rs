//! Arguments in, exit code out.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use zoetrope_server::args::{Cli, Command, ConfigCommand};
use zoetrope_server::exit::{Exit, refuse};
use zoetrope_server::{check, ensemble, launch, markdown, sources};

// Paths, data and children come and go with every write, and what one thread made another frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => launch::serve(&cli.server).into(),
        Some(Command::Server(mut command)) => {
            command.server.config = command.server.config.or(command.file);
            launch::serve(&command.server).into()
        }
        Some(Command::Ensemble(args)) => ensemble::run(&args).into(),
        Some(Command::Config(ConfigCommand::Check { file, set })) => config_check(&file, &set),
        Some(Command::Config(ConfigCommand::Keys { markdown: true })) => {
            print(&markdown::configuration())
        }
        Some(Command::Config(ConfigCommand::Keys { markdown: false })) => print(&markdown::plain()),
    }
}

fn config_check(file: &Path, set: &[(String, String)]) -> ExitCode {
    let loaded = match sources::read(Some(file), set) {
        Ok(loaded) => loaded,
        Err(sentence) => return refuse(Exit::Configuration, &sentence),
    };
    match check::report(&loaded, &mut io::stdout().lock()) {
        Ok(true) | Err(_) => ExitCode::SUCCESS,
        Ok(false) => Exit::Configuration.into(),
    }
}

/// A reader that went away, like `head`, is no failure.
fn print(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
