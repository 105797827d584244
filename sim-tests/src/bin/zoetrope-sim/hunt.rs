//! `hunt`: mistakes that were put in on purpose, and what it takes to find them.

mod shrunk;

use crate::subject::planted;
use crate::{Ended, Exit};
use shrunk::Small;
use sim_tests::Kin;
use sim_tests::hunt::{
    FOUND_PER_CENT, Find, Hunted, LEAST_OFTEN, Ledger, MEDIAN_CPU_S, MEDIAN_LINES, MEDIAN_OFTEN,
    MEDIAN_SEEDS, MOST_LINES, Outcome, Plan, campaign, group_of,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use zoetrope_io_sim::Mistake;

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Each seed is run as one server that stands alone and as an ensemble, until one of both breaks a promise. Mistakes of the
core are there when this program was built with them: cargo run --release -p sim-tests --features planted-bugs --bin
zoetrope-sim -- hunt --all
Ends with 0 when every campaign has found its mistake, with 1 when one has not.")]
pub(crate) struct Args {
    /// Which mistakes
    #[arg(value_name = "PLANT", value_parser = planted, conflicts_with_all = ["all", "list"])]
    plants: Vec<Mistake>,
    /// All of them
    #[arg(long, conflicts_with = "list")]
    all: bool,
    /// Say which there are, and hunt none
    #[arg(long)]
    list: bool,
    /// How often each is hunted, with seeds of its own
    #[arg(long, value_name = "N", default_value_t = Plan::default().campaigns)]
    campaigns: u64,
    /// Seeds after which a campaign gives up
    #[arg(long, value_name = "N", default_value_t = Plan::default().seeds)]
    seeds: u64,
    /// How many are hunted at a time; without it: one per core
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Keep here what each campaign came to, and do not repeat what stands there: a long hunt can be ended at any moment, and
    /// goes on another day
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Shrink what is found, each into a scenario file of its name in this directory; what is there already stays
    #[arg(long, value_name = "DIR")]
    shrink: Option<PathBuf>,
    /// Write the table into this file, between the lines that say where
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Ended {
    let all = Mistake::all();
    if args.list {
        for mistake in &all {
            println!("{:28} {} ({})", mistake.name(), mistake.story(), mistake.retells());
        }
        return Ok(Exit::Kept);
    }
    let wanted = if args.all { all } else { args.plants.clone() };
    if wanted.is_empty() {
        return Err("which mistakes? PLANT..., --all or --list".into());
    }
    // Files that cannot be written are better known before hours have passed.
    args.write.as_ref().map_or(Ok(()), |file| page(file).map(|_| ()))?;
    args.shrink.as_ref().map_or(Ok(()), |dir| shrunk::prepare(dir))?;
    let plan = Plan { campaigns: args.campaigns.max(1), seeds: args.seeds };
    let open =
        |file: &PathBuf| Ledger::open(file).map_err(|error| format!("{}: {error}", file.display()));
    let ledger = args.keep.as_ref().map(open).transpose()?;
    let hunted = hunt_all(&wanted, plan, args.jobs, ledger)?;
    // One after the other: shrinking is limited by the CPU time of the whole process.
    if let Some(dir) = &args.shrink {
        shrunk::shrink_all(dir, &hunted)?;
    }
    let shrunk = hunted.iter().map(|one| shrunk::small(args.shrink.as_ref()?, one.mistake));
    let shrunk: Vec<Option<Small>> = shrunk.collect();
    let score = score(&hunted, plan) + &score_of_shrunk(&shrunk);
    print!("{score}");
    if let Some(file) = &args.write {
        write(file, &hunted, &shrunk, &score)?;
    }
    Ok(if hunted.iter().all(Hunted::is_found) { Exit::Kept } else { Exit::Safety })
}

/// The first campaign of each mistake comes before the second of any.
fn hunt_all(
    wanted: &[Mistake],
    plan: Plan,
    jobs: Option<usize>,
    ledger: Option<Ledger>,
) -> Result<Vec<Hunted>, String> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let all: Vec<(u64, usize)> =
        (0..plan.campaigns).flat_map(|n| (0..wanted.len()).map(move |at| (n, at))).collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(vec![Vec::new(); wanted.len()]));
    let (ledger, failed) = (Mutex::new(ledger), Mutex::new(None));
    let one = |n: u64, at: usize| -> std::io::Result<()> {
        let mistake = wanted[at];
        let known =
            lock(&ledger).as_ref().and_then(|kept| kept.find(mistake, n, plan.seeds).cloned());
        let is_new = known.is_none();
        let outcome = match known {
            Some(outcome) => outcome,
            // At once: what other campaigns come to may take an hour more, and is worth nothing.
            None => campaign(mistake, n, plan.seeds).unwrap_or_else(|alarm| {
                eprintln!("zoetrope-sim: {alarm}");
                std::process::exit(Exit::Harness as i32)
            }),
        };
        if let (true, Some(ledger)) = (is_new, &mut *lock(&ledger)) {
            ledger.keep(mistake, n, plan.seeds, outcome.clone())?;
        }
        let mut results = lock(&results);
        let mine: &mut Vec<(u64, Outcome)> = &mut results[at];
        mine.push((n, outcome));
        if mine.len() as u64 == plan.campaigns {
            println!("{}", line(&hunted(mistake, mine.clone())));
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.unwrap_or_else(cores).max(1) {
            scope.spawn(|| {
                while let Some((n, at)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = one(*n, *at) {
                        *lock(&failed) = Some(format!("what was found cannot be kept: {error}"));
                        return;
                    }
                }
            });
        }
    });
    if let Some(error) = lock(&failed).take() {
        return Err(error);
    }
    let results = std::mem::take(&mut *lock(&results)).into_iter();
    Ok(wanted.iter().zip(results).map(|(mistake, mine)| hunted(*mistake, mine)).collect())
}

fn hunted(mistake: Mistake, mut campaigns: Vec<(u64, Outcome)>) -> Hunted {
    campaigns.sort_by_key(|(n, _)| *n);
    Hunted { mistake, campaigns: campaigns.into_iter().map(|(_, outcome)| outcome).collect() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics with it")
}

fn seeds(n: u64) -> String {
    if n == u64::MAX { "—".to_owned() } else { n.to_string() }
}

fn kins(kins: &[Kin]) -> &'static str {
    match kins {
        [Kin::Alone] => "alone",
        [Kin::Ensemble] => "ensemble",
        [] => "",
        _ => "both",
    }
}

fn line(hunted: &Hunted) -> String {
    let ((median, worst), (cpu, most)) = (hunted.seeds(), hunted.cpu_s());
    let (judges, at) = hunted.caught_by();
    let said = hunted.campaigns.iter().flatten().next().map(|find| find.violation.text.clone());
    format!(
        "{}: {} seeds, at worst {}; {cpu:.2} s of CPU, at worst {most:.2}; {} by {}: {}",
        hunted.mistake.name(),
        seeds(median),
        seeds(worst),
        kins(&at),
        judges.join(", "),
        said.unwrap_or_else(|| "NOT FOUND".to_owned()).chars().take(160).collect::<String>(),
    )
}

fn middle<T: Copy + PartialOrd>(mut all: Vec<T>) -> Option<T> {
    all.sort_by(|a, b| a.partial_cmp(b).expect("no figure is missing"));
    all.get(all.len().saturating_sub(1) / 2).copied()
}

/// What was hoped for, and what it came to.
fn score(hunted: &[Hunted], plan: Plan) -> String {
    let found = hunted.iter().filter(|one| one.is_found()).count();
    let once = hunted.iter().filter(|one| one.campaigns.iter().any(Result::is_ok)).count();
    let (all, Plan { campaigns, seeds: most }) = (hunted.len(), plan);
    let median_seeds = middle(hunted.iter().map(|one| one.seeds().0).collect());
    let median_cpu = middle(hunted.iter().map(|one| one.cpu_s().0).collect()).unwrap_or(0.0);
    format!(
        "{found} of {all} mistakes ({:.1} %) were found in each of {campaigns} campaigns of {most} seeds; at least \
         {FOUND_PER_CENT} % should be. Found at all were {once}.\n\
         The median mistake took {} seeds and {median_cpu:.2} s of CPU; at most {MEDIAN_SEEDS} and {MEDIAN_CPU_S} s \
         it should take.\n",
        100.0 * found as f64 / all.max(1) as f64,
        seeds(median_seeds.unwrap_or(u64::MAX)),
    )
}

/// The same of the files that were shrunk; nothing where there are none.
fn score_of_shrunk(shrunk: &[Option<Small>]) -> String {
    let lines = || shrunk.iter().flatten().map(|small| small.lines);
    let (Some(median), Some(most)) = (middle(lines().collect()), lines().max()) else {
        return String::new();
    };
    let often: Vec<u64> = shrunk.iter().flatten().map(Small::per_cent).collect();
    let median_often = middle(often.clone()).unwrap_or(0);
    let good = shrunk.iter().flatten().filter(|small| small.is_good()).count();
    format!(
        "{good} of {} mistakes have a file within these bounds: of at most {MOST_LINES} lines, and {LEAST_OFTEN} % of other seeds \
         fail. The median file has {median} lines and the longest {most}; at most {MEDIAN_LINES} the median one should have. \
         Of other seeds {median_often} % make the median one fail, and {} % the worst; at least {MEDIAN_OFTEN} should.\n",
        shrunk.len(),
        often.iter().min().unwrap_or(&0),
    )
}

/// Where the table begins and ends in its page.
const BEGIN: &str = "<!-- hunt: what follows is written by `zoetrope-sim hunt --all --write` -->\n";
const END: &str = "<!-- hunt: end -->\n";

fn table(hunted: &[Hunted], shrunk: &[Option<Small>]) -> String {
    let mut out = String::from(
        "| mistake | what is wrong | retells | seeds, median and worst | CPU s | where | found by | lines | of other seeds fail |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for (one, small) in hunted.iter().zip(shrunk) {
        let ((median, worst), (cpu, most)) = (one.seeds(), one.cpu_s());
        let (judges, at) = one.caught_by();
        let finds = || one.campaigns.iter().flatten();
        let named = |judge: &String| {
            let mine = |find: &&Find| find.violation.judge == *judge;
            let group = finds().find(mine).map_or("", |find| group_of(&find.violation));
            format!("{judge} ({group})")
        };
        let by: Vec<String> = judges.iter().map(named).collect();
        out.push_str(&format!(
            "| {} | {} | {} | {}, {} | {cpu:.2}, {most:.2} | {} | {} | {} | {} |\n",
            one.mistake.name(),
            one.mistake.story(),
            one.mistake.retells(),
            seeds(median),
            seeds(worst),
            kins(&at),
            by.join("; ").replace('|', "\\|"),
            small.map_or_else(String::new, |small| small.lines.to_string()),
            small.map_or_else(String::new, |Small { often: (fails, seeds), .. }| {
                format!("{fails} of {seeds}")
            }),
        ));
    }
    out
}

/// What stands in the page before and behind the table.
fn page(file: &Path) -> Result<(String, String), String> {
    let name = file.display();
    let page = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let parts = page.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?)));
    let (head, (_, tail)) =
        parts.ok_or_else(|| format!("{name} does not say where the table begins and ends"))?;
    Ok((head.to_owned(), tail.to_owned()))
}

fn write(
    file: &Path,
    hunted: &[Hunted],
    shrunk: &[Option<Small>],
    score: &str,
) -> Result<(), String> {
    let (head, tail) = page(file)?;
    let swarm = sim_tests::hunt::swarm_hash();
    let text = format!(
        "{head}{BEGIN}\nCode and settings of the swarm: `{swarm}`.\n\n{score}\n{}\n{END}{tail}",
        table(hunted, shrunk)
    );
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
