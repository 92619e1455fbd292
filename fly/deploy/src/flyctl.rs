//! Calls flyctl: a list of arguments, no shell, and an end to every call.

use std::{
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

use crate::command::Stop;

/// How long a question may take, and how long flyctl may take to end once it was told to.
const ANSWER_MAX: Duration = Duration::from_mins(2);
const END_MAX: Duration = Duration::from_mins(1);

/// As much of what flyctl said as helps.
const LINES_MAX: usize = 12;

/// flyctl, run in the repository.
#[derive(Clone, Debug)]
pub(crate) struct Flyctl {
    pub(crate) program: PathBuf,
    pub(crate) root: PathBuf,
}

/// SIGINT and SIGTERM.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Done,
    Failed,
    /// We were told to stop; the exit code that says so.
    Interrupted(u8),
}

impl Flyctl {
    /// Asks for something, and tells what flyctl printed.
    pub(crate) async fn ask(
        &self,
        arguments: &[&str],
        signals: &mut Signals,
    ) -> Result<String, Stop> {
        let mut command = self.command(arguments);
        let child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
        let child = child.map_err(|error| self.missing(&error))?;
        let output = tokio::select! {
            output = timeout(ANSWER_MAX, child.wait_with_output()) => output,
            code = signals.next() => return Err(Stop::interrupted(code, "nothing was changed")),
        };
        let called = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        let output = match output {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(Stop::unavailable(format!("flyctl {called}: {error}"))),
            Err(_elapsed) => {
                let told =
                    format!("flyctl {called} has not answered for {} s", ANSWER_MAX.as_secs());
                return Err(Stop::unavailable(told));
            }
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Stop::unavailable(format!("flyctl {called} failed:\n{}", last_lines(&said))))
    }

    /// Has flyctl do something, in sight. A signal is handed on to it, and it is waited for.
    pub(crate) async fn tell(
        &self,
        arguments: &[&str],
        signals: &mut Signals,
    ) -> Result<Outcome, Stop> {
        // In a group of its own: the terminal's Ctrl-C comes to us, and from us to it, once.
        let mut command = self.command(arguments);
        let mut child = command.process_group(0).spawn().map_err(|error| self.missing(&error))?;
        let code = tokio::select! {
            status = child.wait() => return Ok(outcome(status)),
            code = signals.next() => code,
        };
        interrupt(&child).await;
        tokio::select! {
            _ended = timeout(END_MAX, child.wait()) => {}
            // The second signal means now.
            _code = signals.next() => {}
        }
        // It may have ended already.
        let _killed = child.kill().await;
        Ok(Outcome::Interrupted(code))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
        command
    }

    fn missing(&self, error: &std::io::Error) -> Stop {
        let program = self.program.display();
        Stop::unavailable(format!(
            "{program} cannot be run: {error}\ninstall it (https://fly.io/docs/flyctl/install), or \
             name it with --flyctl"
        ))
    }
}

fn outcome(status: std::io::Result<ExitStatus>) -> Outcome {
    if status.is_ok_and(|status| status.success()) { Outcome::Done } else { Outcome::Failed }
}

/// SIGINT, on which flyctl gives back what it has leased.
async fn interrupt(child: &Child) {
    let Some(pid) = child.id() else { return };
    let mut kill = Command::new("kill");
    // One that is gone by now has nothing to be told.
    let _status = kill.args(["-INT", &pid.to_string()]).stderr(Stdio::null()).status().await;
}

pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines.get(lines.len().saturating_sub(LINES_MAX)..).unwrap_or_default().join("\n")
}

/// A call as one would type it.
pub(crate) fn shown(arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|argument| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._/:@=".contains(c);
        if !argument.is_empty() && argument.chars().all(is_plain) {
            (*argument).to_owned()
        } else {
            format!("'{}'", argument.replace('\'', r"'\''"))
        }
    });
    format!("flyctl {}", quoted.collect::<Vec<_>>().join(" "))
}

// === impl Signals ===

impl Signals {
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one, and tells the exit code of a process that it ends.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _signal = self.interrupt.recv() => 130,
            _signal = self.terminate.recv() => 143,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_shown_as_one_would_type_it() {
        assert_eq!(shown(&["deploy", ".", "--env", "A=b c"]), "flyctl deploy . --env 'A=b c'");
        assert_eq!(shown(&["it's", ""]), r"flyctl 'it'\''s' ''");
    }
}
