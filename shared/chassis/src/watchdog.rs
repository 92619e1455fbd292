//! Ends a process that has come to a standstill: it would keep its port and its place, and answer
//! nobody.
//!
//! It counts its own looks, and no time: a process that is stopped, suspended or starved does not
//! look either, and is given what it missed.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::process::{EX_SOFTWARE, tell_error};

/// How often what is watched beats, and the watchdog looks.
pub(crate) const BEAT_EVERY: Duration = Duration::from_secs(1);

/// Looks in a row without a beat that are too many.
const LOOKS_MAX: u32 = 10;

/// How long telling of the end may take; whoever should read it may be what stands still.
const TELL_MAX: Duration = Duration::from_secs(1);

/// Beats while there is progress. Clones beat as one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

/// What is watched in a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulses {
    /// Tasks are run, and timers.
    pub(crate) runtime: Pulse,
    /// Connections are taken, or could be.
    pub(crate) accepting: Pulse,
}

/// How often in a row nothing was heard.
#[derive(Debug, Default)]
struct Silence {
    last: u64,
    looks: u32,
}

impl Pulse {
    /// Has stopped for good, as it should.
    const STOPPED: u64 = u64::MAX;

    pub(crate) fn beat(&self) {
        let next = |beat| (beat != Self::STOPPED).then_some(beat + 1);
        let _is_beating = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    pub(crate) fn stop(&self) {
        self.0.store(Self::STOPPED, Ordering::Relaxed);
    }
}

impl Silence {
    /// Whether it has lasted too long by now.
    fn look(&mut self, pulse: &Pulse) -> bool {
        let beat = pulse.0.load(Ordering::Relaxed);
        let is_silent = beat == self.last && beat != Pulse::STOPPED;
        self.looks = if is_silent { self.looks + 1 } else { 0 };
        self.last = beat;
        self.looks >= LOOKS_MAX
    }
}

/// Everything that is watched, by what it is called.
struct Watch([(&'static str, Pulse, Silence); 2]);

impl Watch {
    fn over(pulses: Pulses) -> Self {
        let watched = [("the runtime", pulses.runtime), ("the accept loop", pulses.accepting)];
        Self(watched.map(|(what, pulse)| (what, pulse, Silence::default())))
    }

    /// What has stood still for too long by now. All are looked at.
    fn look(&mut self) -> Option<&'static str> {
        let mut still = None;
        for (what, pulse, silence) in &mut self.0 {
            if silence.look(pulse) {
                still = Some(*what);
            }
        }
        still
    }
}

/// Watches for as long as the process runs. Fails where the process may have no more threads.
pub(crate) fn start(name: &'static str, pulses: Pulses) -> io::Result<()> {
    let mut all = Watch::over(pulses);
    let watch = move || {
        loop {
            thread::sleep(BEAT_EVERY);
            if let Some(what) = all.look() {
                end(name, what);
            }
        }
    };
    thread::Builder::new().name("watchdog".to_owned()).spawn(watch).map(drop)
}

#[expect(clippy::exit, reason = "what would return from `main` is what stands still")]
fn end(name: &str, what: &str) {
    let line = format!("{name}: {what} has stood still for {LOOKS_MAX} s");
    let (done, told) = mpsc::channel();
    let tell = move || {
        tell_error(&line);
        // Nobody waits for it any more, if it took so long.
        let _is_awaited = done.send(());
    };
    // Without a thread for the line, the exit code tells as much.
    if thread::Builder::new().spawn(tell).is_ok() {
        let _is_told = told.recv_timeout(TELL_MAX);
    }
    std::process::exit(EX_SOFTWARE.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many looks it takes until the silence is too long, of at most 100.
    fn looks(pulse: &Pulse, mut beats: impl FnMut(u32)) -> Option<u32> {
        let mut silence = Silence::default();
        (1..=100).find(|look| {
            beats(*look);
            silence.look(pulse)
        })
    }

    #[test]
    fn only_a_silence_that_lasts_is_too_long() {
        let pulse = Pulse::default();
        assert_eq!(looks(&pulse, |_look| pulse.beat()), None);
        let seldom = |look: u32| {
            if look.is_multiple_of(LOOKS_MAX) {
                pulse.beat();
            }
        };
        assert_eq!(looks(&pulse, seldom), None);
        let until_five = |look| {
            if look <= 5 {
                pulse.beat();
            }
        };
        assert_eq!(looks(&pulse, until_five), Some(5 + LOOKS_MAX));
    }

    #[test]
    fn what_has_stopped_as_it_should_is_not_missed() {
        let pulse = Pulse::default();
        pulse.stop();
        assert_eq!(looks(&pulse, |_look| ()), None);
    }

    #[test]
    fn each_half_of_a_server_is_missed_while_the_other_goes_on() {
        let missed_beside = |beating: fn(&Pulses) -> &Pulse| {
            let pulses = Pulses::default();
            let mut watch = Watch::over(pulses.clone());
            (0..2 * LOOKS_MAX).find_map(|_look| {
                beating(&pulses).beat();
                watch.look()
            })
        };
        assert_eq!(missed_beside(|pulses| &pulses.runtime), Some("the accept loop"));
        assert_eq!(missed_beside(|pulses| &pulses.accepting), Some("the runtime"));
    }
}
