//! `journal`: what the flight recorder of a real server has written, replayed.

mod moment;
mod state;

use crate::{Ended, Exit};
use moment::{Moment, clock};
use sim_tests::{About, Film, guarded, page};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zoetrope_core::Zxid;
use zoetrope_core::calendar::Date;
use zoetrope_core::flight::{End, Replay, Step};
use zoetrope_io_sim::FlightTrace;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Every file is replayed by itself, through the same core, and each turn must ask for the same, byte for byte. A file that ends
in the middle, or is damaged, is replayed up to there. The build must be the one that recorded.
Ends with 0 when all that could be replayed was equal, 1 when something was not, 2 when nothing of a file could be replayed,
4 when the core panicked, as the one did that was recorded.")]
pub(crate) struct Args {
    /// A recording, or a directory of them
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Stop there and show the server: a time like 2026-11-25T16:03:29.5Z (its clock, UTC), a zxid like 0x200000010 (as soon as
    /// it is applied), or an event of the file like #1234
    #[arg(long, value_name = "TIME|ZXID|EVENT")]
    at: Option<Moment>,
    /// Show the server as it is at the end of each file
    #[arg(long, conflicts_with = "at")]
    state: bool,
    /// Write what happens up to there, or in the whole of the last file, as one HTML file to look at
    #[arg(long, value_name = "FILE")]
    view: Option<PathBuf>,
    /// Show this znode as well; without --at: as it is at the end of each file
    #[arg(long, value_name = "ZNODE")]
    znode: Option<String>,
}

/// The files to be replayed, oldest first.
fn files(path: &Path) -> Result<Vec<PathBuf>, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", path.display());
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(wrong)? {
        let file = entry.map_err(wrong)?.path();
        files.extend(Some(file).filter(|file| file.extension().is_some_and(|is| is == "flight")));
    }
    files.sort();
    match files.is_empty() {
        true => Err(format!("{}: there is no recording (*.flight) in it", path.display())),
        false => Ok(files),
    }
}

/// What a file came to.
#[derive(Default)]
struct Outcome {
    lines: Vec<String>,
    exit: Option<Exit>,
    /// It says that the next one goes on where it ends.
    continued: bool,
    begins_with_the_process: bool,
    /// The moment that was asked for is in it.
    found: bool,
    /// That moment was over when it was begun.
    begins_later: bool,
}

#[derive(Default)]
struct Counts {
    inputs: u64,
    turns: u64,
    equal: u64,
    checkpoints: u64,
}

/// What a step means for the replay.
enum Noted {
    GoOn,
    Ends(String),
    Differs,
}

impl Outcome {
    fn note(&mut self, step: &Step<'_>, at: usize, counts: &mut Counts) -> Noted {
        let event = counts.inputs + counts.turns;
        match step {
            Step::Input(_) => counts.inputs += 1,
            Step::Turn => counts.turns += 1,
            Step::Same => counts.equal += 1,
            Step::Checkpoint => counts.checkpoints += 1,
            Step::Differs(then, now) => {
                self.lines.push(format!(
                    "DIFFERS: event #{event}, at byte {at}: the turn asked for {then:08x} when it was recorded, and asks \
                     for {now:08x} now"
                ));
                self.exit = Some(Exit::Safety);
                return Noted::Differs;
            }
            Step::Elsewhere(then, now) => {
                self.lines.push(format!(
                    "DIFFERS: at the checkpoint behind event #{event}, at byte {at}: it was {then:?} when it was \
                     recorded, and is {now:?} now"
                ));
                self.exit = Some(Exit::Safety);
                return Noted::Differs;
            }
            Step::End(End::Continued) => {
                self.continued = true;
                return Noted::Ends("where the next recording goes on".to_owned());
            }
            Step::End(End::Stopped) => {
                return Noted::Ends("with its server, which was told to stop".to_owned());
            }
            Step::End(End::Gap) => {
                let how = "in a gap: what came next could not be written, or not fast enough";
                return Noted::Ends(how.to_owned());
            }
            Step::Cut(at, why) => return Noted::Ends(format!("at byte {at}: {why}")),
        }
        Noted::GoOn
    }
}

struct Look {
    film: Option<Film>,
    /// Inputs and turns that were replayed, for whoever has to say where the core panicked.
    events: Arc<AtomicU64>,
    at: Option<Moment>,
    show: bool,
    znode: Option<String>,
}

fn replay(bytes: &[u8], look: &Look) -> Outcome {
    let mut outcome = Outcome::default();
    let mut replay = match Replay::open(bytes) {
        Ok(replay) => replay,
        Err(why) => {
            return Outcome { lines: vec![why.to_string()], exit: Some(Exit::Harness), ..outcome };
        }
    };
    outcome.begins_with_the_process = replay.begins_with_the_process();
    let (about, mut counts) = (replay.about().clone(), Counts::default());
    let begins =
        if outcome.begins_with_the_process { "the start of its process" } else { "a copy of it" };
    let from = replay.now().wall_ms;
    outcome.lines.push(format!(
        "server {}, from {}, beginning with {begins}",
        about.sid,
        clock(from)
    ));
    let mut trace = look.film.clone().map(|film| FlightTrace::new(&replay, film));
    let mut ends = "in the middle".to_owned();
    loop {
        if let Some(at) = &look.at
            && at.is_reached(&replay, counts.inputs + counts.turns)
        {
            outcome.begins_later = counts.inputs + counts.turns == 0 && at.is_before(&replay);
            outcome.found = !outcome.begins_later;
            break;
        }
        let at = replay.at();
        look.events.store(counts.inputs + counts.turns, Ordering::Relaxed);
        let Some(step) = replay.step() else { break };
        if let Some(trace) = &mut trace {
            trace.tell(&replay, &step);
        }
        match outcome.note(&step, at, &mut counts) {
            Noted::GoOn => {}
            Noted::Ends(how) => ends = how,
            Noted::Differs => break,
        }
    }
    let Counts { inputs, turns, equal, checkpoints } = counts;
    let to = clock(replay.now().wall_ms);
    outcome.lines.push(format!(
        "{inputs} inputs and {turns} turns up to {to}; {equal} turns and {checkpoints} checkpoints compared{}",
        if outcome.exit.is_none() { ", all equal" } else { "" }
    ));
    if !outcome.found && outcome.exit.is_none() {
        outcome.lines.push(format!("it ends {ends}"));
    }
    if outcome.found || look.show {
        let event = inputs + turns;
        outcome.lines.push(format!("event #{event}, {}", moment::precisely(replay.now())));
        outcome.lines.extend(state::lines(replay.server(), replay.now(), look.znode.as_deref()));
    }
    outcome
}

/// Is the moment surely not before this file ends, because the next one begins before it? Then the file need not be replayed.
fn is_later(at: &Option<Moment>, next: Option<&PathBuf>) -> bool {
    let (Some(Moment::Wall(wall_ms)), Some(next)) = (at, next) else { return false };
    let name = next.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    Date::parse(name).is_some_and(|begins| begins.wall_ms() + SLACK_MS < *wall_ms)
}

/// The name of a recording says when its copy was begun; it goes on from when that was complete.
const SLACK_MS: i64 = 600_000;

pub(crate) fn run(args: &Args) -> Ended {
    let files = files(&args.path)?;
    let (mut exit, mut found, mut continued) = (Exit::Kept, false, true);
    for (number, path) in files.iter().enumerate() {
        if is_later(&args.at, files.get(number + 1)) {
            continue;
        }
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let events = Arc::new(AtomicU64::new(0));
        let (at, znode) = (args.at.clone(), args.znode.clone());
        let show = args.state || (znode.is_some() && at.is_none());
        // Every file begins a film of its own; the last of them is shown.
        let film = args.view.as_ref().map(|_| Film::new(0));
        let look = Look { film: film.clone(), events: events.clone(), at, show, znode };
        let outcome = match guarded(move || replay(&bytes, &look)) {
            Ok(outcome) => outcome,
            Err(crash) => Outcome {
                lines: vec![format!(
                    "event #{}: the core {crash}",
                    events.load(Ordering::Relaxed) + 1
                )],
                exit: Some(Exit::Crash),
                ..Outcome::default()
            },
        };
        if number > 0 && !continued && !outcome.begins_with_the_process && args.at.is_none() {
            println!("-- a gap: nothing is known of what the server was told meanwhile");
        }
        let quiet = args.at.is_some() && !outcome.found && outcome.exit.is_none();
        if !quiet {
            println!("{}", path.display());
            outcome.lines.iter().for_each(|line| println!("  {line}"));
        }
        if let (Some(out), Some(film)) = (&args.view, film)
            && !film.is_empty()
            && (outcome.found || outcome.exit.is_some() || number + 1 == files.len())
        {
            write_page(out, path, &outcome, &film)?;
        }
        exit = exit.and(outcome.exit.unwrap_or(Exit::Kept));
        (continued, found) = (outcome.continued, outcome.found);
        if let (Some(at), true) = (&args.at, outcome.begins_later) {
            return Err(format!("{at} was before {} begins", path.display()).into());
        }
        if found || (args.view.is_some() && outcome.exit.is_some()) {
            break;
        }
    }
    match (&args.at, found) {
        (Some(at), false) => Err(format!("{}: {at} is not in it", args.path.display()).into()),
        _ => Ok(exit),
    }
}

fn write_page(
    out: &Path,
    path: &Path,
    outcome: &Outcome,
    film: &Film,
) -> Result<(), Box<dyn Error>> {
    let differs = outcome.lines.iter().find(|line| line.starts_with("DIFFERS"));
    let crash = outcome.lines.iter().find(|line| line.contains("the core panicked"));
    if let Some(crash) = crash {
        film.crashed(crash);
    }
    let about = About {
        name: path.display().to_string(),
        story: "What the flight recorder of this server has written.".to_owned(),
        scenario: outcome.lines.join("\n"),
        violation: differs.or(crash).cloned(),
        otherwise: "Replayed to the same effects. This is a recording, so nothing judged it.",
    };
    let events = film.len();
    let html = page(&about, &film.develop())?;
    std::fs::write(out, &html).map_err(|error| format!("{}: {error}", out.display()))?;
    println!("{events} events, {} KiB: {}", html.len() / 1024, out.display());
    Ok(())
}

/// A server has come to that txn.
fn has_applied(replay: &Replay<'_>, zxid: Zxid) -> bool {
    replay.server().zxid_applied() >= zxid
}
