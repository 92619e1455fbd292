//! A binary of tests: run until the first of them is red, which has to be red alone as well.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::near::ELSEWHERE;

/// How long all the tests of one run may take.
const RUN_MAX: Duration = Duration::from_mins(15);

/// How often a test that was red is run alone: whoever is red at times is green in one of them.
const ALONE: usize = 2;

/// How many tests may be red at times, before that is said of the machine.
const DOUBTED_MAX: usize = 10;

/// Most tests wait for the database most of the time.
const THREADS: &str = "4";

/// What the tests say.
pub(crate) enum Outcome {
    /// Nothing was noticed.
    Green,
    /// Something was, by this test, however often it was run.
    Red(String),
}

/// Tests that were red and then green: what they say counts for nothing from then on.
#[derive(Debug, Default)]
pub(crate) struct Doubted(Vec<String>);

/// How one run ended.
enum Ended {
    Well,
    /// With this test red.
    Test(String),
    /// Without a word of which.
    Otherwise(String),
}

/// Tests that were built.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    pub(crate) executable: PathBuf,
    /// Where they are run.
    pub(crate) dir: PathBuf,
}

impl Doubted {
    /// Leaves a test out from now on.
    pub(crate) fn add(&mut self, test: String, why: &str) {
        eprintln!("    {why}, so that it counts for nothing: {test}");
        self.0.push(test);
    }
}

impl Suite {
    /// Runs those whose names hold one of `tests`, or all.
    pub(crate) fn run(&self, tests: &[&str], doubted: &mut Doubted) -> Result<Outcome, String> {
        while doubted.0.len() <= DOUBTED_MAX {
            let mut arguments: Vec<String> = tests.iter().map(ToString::to_string).collect();
            let left_out = ELSEWHERE.into_iter().chain(doubted.0.iter().map(String::as_str));
            arguments.extend(left_out.flat_map(|test| ["--skip", test]).map(str::to_owned));
            match self.once(&arguments)? {
                Ended::Well => return Ok(Outcome::Green),
                Ended::Test(test) => {
                    if self.is_red_alone(&test)? {
                        return Ok(Outcome::Red(test));
                    }
                    doubted.add(test, "red, and green alone");
                }
                Ended::Otherwise(how) => {
                    if let Ended::Otherwise(_) = self.once(&arguments)? {
                        return Ok(Outcome::Red(format!("the tests themselves: {how}")));
                    }
                }
            }
        }
        Err(format!("more than {DOUBTED_MAX} tests are red at times: the machine is too busy"))
    }

    fn is_red_alone(&self, test: &str) -> Result<bool, String> {
        for _time in 0..ALONE {
            if let Ended::Well = self.once(&["--exact".to_owned(), test.to_owned()])? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn once(&self, arguments: &[String]) -> Result<Ended, String> {
        let mut child = Command::new(&self.executable)
            .args(arguments)
            .args(["--test-threads", THREADS])
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.executable.display()))?;
        let ended = watch(&mut child);
        // Whatever else it would have found, one is enough. Its database ends with it.
        child.kill().unwrap_or_default();
        let status = child.wait().map_err(|error| error.to_string())?;
        Ok(match ended {
            Some(ended) => ended,
            None if status.success() => Ended::Well,
            None => Ended::Otherwise(status.to_string()),
        })
    }
}

/// Waits for the first test that is red, or for the end, which has nothing to tell.
fn watch(child: &mut Child) -> Option<Ended> {
    let out = child.stdout.take()?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let test = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"));
            if let Some(test) = test {
                // Only the first is awaited.
                let _is_awaited = tell.send(test.to_owned());
            }
        }
    });
    let give_up = Instant::now() + RUN_MAX;
    match told.recv_timeout(give_up.saturating_duration_since(Instant::now())) {
        Ok(test) => Some(Ended::Test(test)),
        Err(RecvTimeoutError::Timeout) => {
            Some(Ended::Otherwise(format!("not over after {} s", RUN_MAX.as_secs())))
        }
        Err(RecvTimeoutError::Disconnected) => {
            // It has said all it has to say, and its status is the rest.
            let _status = child.wait();
            None
        }
    }
}
