//! The command line.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// What was asked for.
#[derive(Parser, Debug)]
#[command(
    name = "zoetrope",
    version = crate::version::LONG,
    about = "A coordination server that speaks ZooKeeper",
    after_help = "Without a command it serves 127.0.0.1:2181 and keeps its data in ./zoetrope-data.",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do; without it: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of a server started without a command.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Serve clients until SIGTERM or SIGINT
    Server(ServerCommand),
    /// Start several servers of one ensemble on this machine, to try it
    Ensemble(EnsembleArgs),
    /// Look at configuration without starting anything
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// `zoetrope server`.
#[derive(Args, Debug)]
pub struct ServerCommand {
    /// zoo.cfg, the same as --config
    #[arg(value_name = "ZOO_CFG", conflicts_with = "config")]
    pub file: Option<PathBuf>,
    /// The rest.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How to start a server.
#[derive(Args, Clone, Default, Debug)]
pub struct ServerArgs {
    /// Configuration file of a ZooKeeper server; without it, ZOETROPE_CONFIG may name one
    // Not clap's `env`: a file given by position must win over the variable, not clash with it.
    #[arg(long, value_name = "ZOO_CFG")]
    pub config: Option<PathBuf>,
    /// Refuse to start on an unknown key or an unreadable value
    #[arg(long, env = "ZOETROPE_STRICT", value_parser = FalseyValueParser::new())]
    pub strict: bool,
    /// Set a key of zoo.cfg; wins over the environment and the file
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
    /// Record everything the server is told in this directory, for `zoetrope-sim journal`; passwords too
    #[arg(long, value_name = "DIR", env = "ZOETROPE_RECORD")]
    pub record: Option<PathBuf>,
    /// MiB of requests and answers after which the next recording begins
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub record_size: u32,
    /// Recordings to keep; the oldest goes
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..))]
    pub record_files: u32,
    /// How the log is written: lines for a person, or a JSON object per line
    #[arg(long, value_enum, default_value_t, env = "ZOETROPE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What is worth a line
    #[arg(long, value_enum, default_value_t, env = "ZOETROPE_LOG_LEVEL")]
    pub log_level: LogLevel,
}

/// `zoetrope ensemble`.
#[derive(Args, Clone, Debug)]
pub struct EnsembleArgs {
    /// How many servers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub servers: u16,
    /// Client port of the first; the others follow
    #[arg(long, default_value_t = 2181, value_parser = clap::value_parser!(u16).range(1..=60000))]
    pub port: u16,
    /// Where each keeps its zoo.cfg, its data and its log
    #[arg(long, default_value = "zoetrope-ensemble")]
    pub dir: PathBuf,
}

/// `zoetrope config`.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Show what becomes of every key of a file; exit code 2 if something is wrong with it
    Check {
        /// Configuration file of a ZooKeeper server
        #[arg(value_name = "ZOO_CFG")]
        file: PathBuf,
        /// Set a key of zoo.cfg; wins over the environment and the file
        #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_and_value)]
        set: Vec<(String, String)>,
    },
    /// List every key with its default and effect
    Keys {
        /// As docs/configuration.md
        #[arg(long)]
        markdown: bool,
    },
}

/// How the log is written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What is worth a line.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// Variables of this program that are no keys of zoo.cfg.
pub(crate) const VARIABLES: [&str; 5] = [
    "ZOETROPE_CONFIG",
    "ZOETROPE_STRICT",
    "ZOETROPE_LOG_FORMAT",
    "ZOETROPE_LOG_LEVEL",
    "ZOETROPE_RECORD",
];

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        Some(_) | None => Err("write it as key=value".to_owned()),
    }
}
