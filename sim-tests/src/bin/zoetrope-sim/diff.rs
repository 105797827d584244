//! `diff`: where two runs part, and how they came there.

use crate::subject::{Planted, read, seed};
use crate::{Ended, Exit};
use sim_tests::{Visit, guarded, watched};
use std::error::Error;
use std::path::{Path, PathBuf};
use zoetrope_io_sim::{Event, Judge, Mistake, Record, Step, World};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
A and B are scenario files, or what `replay --step` of this or another build has printed. --mistake is put
into B alone. Ends with 0 whether they part or not.")]
pub(crate) struct Args {
    /// One run
    #[arg(value_name = "A")]
    one: PathBuf,
    /// The other
    #[arg(value_name = "B")]
    two: PathBuf,
    /// Seed of both instead of their own, where they are scenarios
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: Option<u64>,
    /// So many events before the place, and behind it
    #[arg(long, value_name = "N", default_value_t = 10)]
    context: usize,
    #[command(flatten)]
    planted: Planted,
}

/// Notes everything, line by line.
#[derive(Clone, Default)]
struct Lines(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl Record for Lines {
    fn record(&mut self, event: Event) {
        self.0.lock().expect("no run panics with it").push(event.to_string());
    }
}

struct Play(Vec<Step>);

impl Visit for Play {
    type Out = ();

    fn visit<J: Judge + Clone>(self, mut world: World<J>) {
        world.play(&self.0);
    }
}

/// Every event of a run.
fn lines(file: &Path, seed: Option<u64>, mistake: Mistake) -> Result<Vec<String>, Box<dyn Error>> {
    if file.extension().is_none_or(|end| end != "toml") {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        // Of what `replay --step` prints, an event begins with its time, and a panic is the last one.
        let is_event = |line: &&str| {
            let line = line.trim_start();
            line.starts_with(|c: char| c.is_ascii_digit()) || line.starts_with("panicked at")
        };
        let events: Vec<String> = text.lines().filter(is_event).map(str::to_owned).collect();
        if events.is_empty() {
            let name = file.display();
            return Err(format!(
                "{name}: no events are in it; the name of a scenario ends with .toml"
            )
            .into());
        }
        return Ok(events);
    }
    let mut scenario = read(file)?;
    scenario.seed = seed.unwrap_or(scenario.seed);
    let noted = Lines::default();
    let record = noted.clone();
    let run = guarded(move || watched(&scenario, mistake, record, Play(scenario.all_steps())));
    let mut all = std::mem::take(&mut *noted.0.lock().expect("no run panics with it"));
    if let Err(crash) = run {
        all.push(crash.to_string());
    }
    Ok(all)
}

fn show(name: &Path, lines: &[String], at: usize, context: usize) {
    println!("--- {}, events {} and before:", name.display(), at);
    lines[at.saturating_sub(context)..at].iter().for_each(|line| println!("    {line}"));
    match lines.get(at..) {
        Some([first, rest @ ..]) => {
            println!("  > {first}");
            rest.iter().take(context).for_each(|line| println!("    {line}"));
        }
        _ => println!("  > nothing: the run is over"),
    }
}

pub(crate) fn run(args: &Args) -> Ended {
    let one = lines(&args.one, args.seed, Mistake::None)?;
    let two = lines(&args.two, args.seed, args.planted.mistake)?;
    let same = one.iter().zip(&two).take_while(|(a, b)| a == b).count();
    if same == one.len() && same == two.len() {
        println!("{same} events, all of them equal");
        return Ok(Exit::Kept);
    }
    println!("{same} events are equal; the next ones are not");
    show(&args.one, &one, same, args.context);
    show(&args.two, &two, same, args.context);
    Ok(Exit::Kept)
}
