//! `view`: a run as one HTML file to look at.

use crate::subject::{Planted, Subject};
use crate::time::{duration, us};
use crate::{Ended, Exit};
use sim_tests::{About, Film, Violation, Visit, guarded, page, watched};
use std::path::PathBuf;
use std::time::Duration;
use zoetrope_io_sim::{Judge, Outcome, Step, World};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
The file needs nothing else: any browser opens it, without a network. Of a run that broke a promise it shows the moment
when that happened. Ends with 0 when the file is written, whatever the run did.")]
pub(crate) struct Args {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    planted: Planted,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Leave out what happens before that simulated time, like 12.5s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    from: Option<Duration>,
    /// Stop at that simulated time
    #[arg(long, value_name = "TIME", value_parser = duration)]
    until: Option<Duration>,
}

struct Play {
    steps: Vec<Step>,
    until: Option<u64>,
}

impl Visit for Play {
    type Out = Outcome;

    fn visit<J: Judge + Clone>(self, mut world: World<J>) -> Outcome {
        if let Some(until) = self.until {
            world.stop_at(until);
        }
        world.play(&self.steps)
    }
}

pub(crate) fn run(args: &Args) -> Ended {
    let (scenario, name) = args.subject.read()?;
    let (seed, story, text) = (scenario.seed, scenario.story.clone(), scenario.to_short_text());
    let film = Film::new(args.from.map_or(0, us));
    let (record, mistake) = (film.clone(), args.planted.mistake);
    let play = Play { steps: scenario.all_steps(), until: args.until.map(us) };
    let violation = match guarded(move || watched(&scenario, mistake, record, play)) {
        Ok(outcome) => outcome.violation.map(Violation::of_judge),
        Err(crash) => {
            film.crashed(&crash.to_string());
            Some(Violation::of_crash(&crash))
        }
    };
    let said = violation.as_ref().map(ToString::to_string);
    let planted = args.planted.option();
    let about = About {
        name: format!("{name}, seed {seed}{planted}"),
        story,
        scenario: text,
        violation: said.clone(),
        otherwise: About::KEPT,
    };
    let events = film.len();
    let html = page(&about, &film.develop())?;
    std::fs::write(&args.out, &html).map_err(|error| format!("{}: {error}", args.out.display()))?;
    let said = said.unwrap_or_else(|| "every promise was kept".to_owned());
    println!("{name}, seed {seed}: {said}");
    println!("{events} events, {} KiB: {}", html.len() / 1024, args.out.display());
    Ok(Exit::Kept)
}
