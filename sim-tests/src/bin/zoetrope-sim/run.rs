//! `run`: many seeds.

use crate::subject::{Planted, seed};
use crate::time::duration;
use crate::{Ended, Exit, say};
use sim_tests::{Campaign, Failure, Kin, Met, News, Shard, Tally};
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Without --seeds and --for it runs 1000 seeds; with --for alone as many as there is time for. A line says how to
replay each seed that breaks a promise. Whoever runs this on several machines gives each its --shard, or in a
Kubernetes Indexed Job all of them the same --shards, and merges what --out has written.")]
pub(crate) struct Args {
    /// Which seeds: a number of them, from 0, or a range like 1000..2000
    #[arg(long, value_name = "N|A..B", value_parser = seeds)]
    seeds: Option<Range<u64>>,
    /// Begin no seed after that time, like 60s, 5m or 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// How many at a time; without it: one per core
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Every N-th seed, beginning with the I-th (from 0)
    #[arg(long, value_name = "I/N", value_parser = shard, conflicts_with = "shards")]
    shard: Option<Shard>,
    /// The same, I being what JOB_COMPLETION_INDEX says
    #[arg(long, value_name = "N")]
    shards: Option<u64>,
    /// One server that stands alone, and nothing else
    #[arg(long, conflicts_with = "ensemble")]
    alone: bool,
    /// Ensembles, and nothing else; without either: both in turn
    #[arg(long)]
    ensemble: bool,
    #[command(flatten)]
    files: ResultFiles,
    #[command(flatten)]
    planted: Planted,
}

/// Where results go.
#[derive(clap::Args, Debug)]
pub(crate) struct ResultFiles {
    /// Write the results here, in a form that `merge` adds up
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the table of faults and moments here, as Markdown
    #[arg(long, value_name = "FILE")]
    coverage: Option<PathBuf>,
}

impl ResultFiles {
    fn prepare(&self) -> Result<(), String> {
        let mut files = self.out.iter().chain(&self.coverage);
        files.try_for_each(|file| can_be_written(file))
    }

    pub(crate) fn write(&self, tally: &Tally) -> Result<(), String> {
        if let Some(file) = &self.out {
            write_to(file, &tally.to_text())?;
        }
        self.coverage
            .as_ref()
            .map_or(Ok(()), |file| write_to(file, &tally.coverage.page(tally.runs)))
    }
}

/// A file that cannot be written is better known before hours have passed. What stands in it stays until then.
pub(crate) fn can_be_written(file: &Path) -> Result<(), String> {
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(file);
    opened.map(|_| ()).map_err(|error| format!("{}: {error}", file.display()))
}

fn write_to(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| seed(text).map_err(|_| format!("{text:?} is no number of seeds"));
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => 0..number(text)?,
    };
    if range.is_empty() { Err("there is no seed in that range".to_owned()) } else { Ok(range) }
}

fn shard(text: &str) -> Result<Shard, String> {
    let both = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match both {
        Some((index, of)) if index < of => Ok(Shard { index, of }),
        _ => Err("a shard is I/N, with I from 0 to N-1".to_owned()),
    }
}

/// Which shard this is.
fn shard_of(args: &Args) -> Result<Shard, String> {
    let Some(of) = args.shards else {
        return Ok(args.shard.unwrap_or(Shard { index: 0, of: 1 }));
    };
    let index = std::env::var("JOB_COMPLETION_INDEX")
        .map_err(|_| "--shards is for a Kubernetes Indexed Job: JOB_COMPLETION_INDEX is not set")?;
    shard(&format!("{index}/{of}"))
        .map_err(|_| format!("JOB_COMPLETION_INDEX={index} is none of {of} shards"))
}

fn campaign(args: &Args) -> Result<Campaign, String> {
    let kins = match (args.alone, args.ensemble) {
        (true, _) => vec![Kin::Alone],
        (_, true) => vec![Kin::Ensemble],
        _ => vec![Kin::Alone, Kin::Ensemble],
    };
    let count = match (&args.seeds, args.time) {
        (Some(seeds), _) => Some(seeds.end - seeds.start),
        (None, Some(_)) => None,
        (None, None) => Some(1000),
    };
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Campaign {
        kins,
        from: args.seeds.as_ref().map_or(0, |seeds| seeds.start),
        count,
        time: args.time,
        jobs: args.jobs.unwrap_or_else(cores),
        shard: shard_of(args)?,
        mistake: args.planted.mistake,
    })
}

pub(crate) fn run(args: &Args) -> Ended {
    let campaign = campaign(args)?;
    args.files.prepare()?;
    let mut progress = Progress::new();
    let tally = campaign.run_all(|news| match news {
        News::Failed(failure) => {
            progress.clear();
            print_failure(failure, &args.planted.option());
        }
        News::Progress(tally) => progress.show(tally),
    });
    progress.clear();
    args.files.write(&tally)?;
    print_tally(&tally);
    if tally.runs == 0 {
        return Err("no seed was run: there was no time, or none is of this shard".into());
    }
    Ok(tally.worst().map_or(Exit::Kept, Exit::of_kind))
}

/// A failure, and the line that shows it again.
pub(crate) fn print_failure(failure: &Failure, options: &str) {
    let Failure { swarm, seed, kind, violation, .. } = failure;
    say(format_args!(
        "seed {seed}, {swarm}: {kind} violation: {violation}\n  \
         replay: zoetrope-sim replay --seed {seed} --{swarm}{options}"
    ));
}

/// What was seen.
pub(crate) fn print_tally(tally: &Tally) {
    let Tally { runs, requests, inputs, faults, crashes, simulated_s, cpu_s, failures, .. } = tally;
    let per = |figure: f64, seconds: f64| figure / seconds.max(1e-9);
    println!(
        "{runs} runs, {} broke a promise; {faults} faults, {crashes} of them losses of power; {requests} requests \
         answered, {:.1} hours simulated",
        failures.len(),
        simulated_s / 3600.0
    );
    println!(
        "{cpu_s:.0} CPU seconds: {:.0} runs and {:.1} simulated hours per CPU-minute, {:.0} inputs per CPU second",
        per(*runs as f64, *cpu_s) * 60.0,
        per(simulated_s / 3600.0, *cpu_s) * 60.0,
        per(*inputs as f64, *cpu_s)
    );
    println!("{}", tally.coverage);
}

/// One line about what goes on: over and over again on a terminal, now and then in a file.
struct Progress {
    begin: Instant,
    next: Instant,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        let begin = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self { begin, next: begin + Duration::from_secs(if terminal { 0 } else { 30 }), terminal }
    }

    fn show(&mut self, tally: &Tally) {
        if Instant::now() < self.next {
            return;
        }
        let wait = if self.terminal { Duration::from_millis(250) } else { Duration::from_secs(30) };
        self.next = Instant::now() + wait;
        let seconds = self.begin.elapsed().as_secs_f64();
        let line = format!(
            "{seconds:.0} s: {} runs, {:.1} per second, {} faults, in {} of {} cells, {} failures",
            tally.runs,
            tally.runs as f64 / seconds.max(1e-3),
            tally.faults,
            tally.coverage.met(),
            Met::possible(),
            tally.failures.len()
        );
        let (begin, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        // Nobody to tell is no reason to stop.
        let _ = write!(std::io::stderr(), "{begin}{line}{end}");
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_shards_are_read_or_refused() {
        assert_eq!(seeds("7"), Ok(0..7));
        assert_eq!(seeds("5..7"), Ok(5..7));
        assert!(seeds("7..5").is_err() && seeds("0").is_err() && seeds("x").is_err());
        assert!(seeds("0..9223372036854775808").is_err() && seed("-1").is_err());
        assert_eq!(shard("2/3"), Ok(Shard { index: 2, of: 3 }));
        assert!(shard("3/3").is_err() && shard("3").is_err());
    }
}
