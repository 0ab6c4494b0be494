//! `cargo xtask crash`: every crash state, by seed. See
//! docs/crash-consistency.md.

mod afterlife;
mod calls;
mod classes;
mod coverage;
mod found;
mod job;
mod library;
mod media;
mod mixes;
mod ops;
mod ops_more;
mod pmdk;
mod recover;
mod rng;
mod run;
mod states;
mod transactions;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::*;

const USAGE: &str = "\
usage: cargo xtask crash [OPTIONS]

  --states N        states in all, about; fewer only if there are not so many [100000]
  --per-fence N     instead: subsets per fence, and as many other states
  --seed N          what is drawn [1]
  --only SCENARIO   may be repeated
  --jobs N          processes at a time [one per core]
  --second N        one state in N is crashed again while it is recovered [100]
  --table FILE      writes the flushes and fences with their states
  --list            scenarios

  --replay SCENARIO:FENCE:N[:FENCE:N]
                    one state, with the seed that the run had, and all checks
  --image FILE      writes its pool
";

/// What to do.
enum Mode {
    Help,
    List,
    Run(run::Options),
    Replay { id: String, image: Option<PathBuf> },
    // What a run tells its processes.
    Plan { scenario: String },
    Job(job::Job),
}

fn parse() -> Result<Mode, lexopt::Error> {
    let mut o = run::Options::default();
    let (mut replay, mut image, mut plan, mut job) = (None, None, None, job::Job::default());
    let mut parser = lexopt::Parser::from_env();
    match parser.next()? {
        Some(Value(command)) if command == "crash" => {}
        Some(Short('h') | Long("help")) | None => return Ok(Mode::Help),
        Some(other) => return Err(other.unexpected()),
    }
    while let Some(arg) = parser.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Mode::Help),
            Long("list") => return Ok(Mode::List),
            Long("states") => o.states = parser.value()?.parse()?,
            Long("per-fence") => o.per_fence = Some(parser.value()?.parse()?),
            Long("seed") => o.seed = parser.value()?.parse()?,
            Long("only") => o.only.push(parser.value()?.string()?),
            Long("jobs") => o.jobs = parser.value()?.parse()?,
            Long("second") => o.second_in = parser.value()?.parse()?,
            Long("table") => o.table = Some(parser.value()?.into()),
            Long("replay") => replay = Some(parser.value()?.string()?),
            Long("image") => image = Some(parser.value()?.into()),
            Long("plan") => plan = Some(parser.value()?.string()?),
            Long("job") => job.scenario = parser.value()?.string()?,
            Long("nth") => job.slice.nth = parser.value()?.parse()?,
            Long("of") => job.slice.of = parser.value()?.parse()?,
            Long("pmdk") => job.pmdk = Some(parser.value()?.into()),
            Long("heartbeat") => job.heartbeat = Some(parser.value()?.into()),
            _ => return Err(arg.unexpected()),
        }
    }
    rng::set_seed(o.seed);
    if let Some(scenario) = plan {
        return Ok(Mode::Plan { scenario });
    }
    if let Some(id) = replay {
        return Ok(Mode::Replay { id, image });
    }
    if !job.scenario.is_empty() {
        job.per_fence = o.per_fence.unwrap_or(1);
        job.second_in = o.second_in;
        return Ok(Mode::Job(job));
    }
    Ok(Mode::Run(o))
}

fn main() -> ExitCode {
    let done = match parse() {
        Ok(Mode::Help) => {
            print!("{USAGE}");
            Ok(())
        }
        Ok(Mode::List) => {
            ops::names().for_each(|name| println!("{name}"));
            Ok(())
        }
        Ok(Mode::Run(options)) => run::run(&options),
        Ok(Mode::Replay { id, image }) => job::replay(&id, image.as_deref()),
        Ok(Mode::Plan { scenario }) => job::plan(&scenario),
        Ok(Mode::Job(job)) => job.run(),
        Err(e) => {
            eprintln!("{e}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
