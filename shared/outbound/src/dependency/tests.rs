//! What holds of the stack, with errands that fail as told and a clock that waits for nobody.

use std::sync::atomic::{AtomicUsize, Ordering};

use ::call::RequestId;
use http::HeaderMap;
use proptest::prelude::*;
use tokio::{join, runtime, time};

use super::*;
use crate::series::Families;

const MS: Duration = Duration::from_millis(1);

/// What becomes of every attempt.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answers,
    Hangs,
    Fails(Verdict, Again),
    /// Answers after so many failures.
    AnswersAfter(usize),
}

/// An errand that notes when its attempts began.
struct Told<'d> {
    dependency: &'d Dependency,
    fate: Fate,
    is_repeatable: bool,
    begun: Mutex<Vec<Attempt>>,
    at: Mutex<Vec<Instant>>,
}

impl Errand for Told<'_> {
    type Answer = ();

    async fn attempt(&self, attempt: Attempt) -> Result<(), Failed> {
        self.begun.lock().unwrap().push(attempt);
        self.at.lock().unwrap().push(Instant::now());
        let fails = |verdict, again| Err(self.dependency.unavailable(verdict, again, "told to"));
        match self.fate {
            Fate::Answers => Ok(()),
            Fate::Hangs => std::future::pending().await,
            Fate::Fails(verdict, again) => fails(verdict, again),
            Fate::AnswersAfter(failures) if self.count() > failures => Ok(()),
            Fate::AnswersAfter(_) => fails(Verdict::Ill, Again::Scheduled),
        }
    }

    fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }
}

impl<'d> Told<'d> {
    fn new(dependency: &'d Dependency, fate: Fate) -> Self {
        let (begun, at) = (Mutex::default(), Mutex::default());
        Self { dependency, fate, is_repeatable: true, begun, at }
    }

    fn count(&self) -> usize {
        self.begun.lock().unwrap().len()
    }

    /// The times between the attempts.
    fn waits(&self) -> Vec<Duration> {
        self.at.lock().unwrap().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    async fn run(&self, call: &Call) -> Result<(), Error> {
        self.dependency.call(call, self).await
    }
}

fn dependency() -> Dependency {
    let settings = Settings { attempt_max: MS * 300, connect_max: MS * 100 };
    Dependency::new("it", settings, Families::default().of("it"))
}

/// A call with this much time.
fn within(time: Duration) -> Call {
    let mut call = Call::new(RequestId::of(&HeaderMap::new()), None);
    call.deadline = Some(Instant::now() + time);
    call
}

/// A dependency whose breaker is open.
async fn opened() -> Dependency {
    let dependency = dependency();
    let mut failures = 0;
    while dependency.series.breaker_open.get() == 0 {
        let told = Told::new(&dependency, Fate::Fails(Verdict::Ill, Again::Never));
        told.run(&within(MS * 500)).await.unwrap_err();
        failures += 1;
        assert!(failures < 20, "it opens");
    }
    dependency
}

#[tokio::test(start_paused = true)]
async fn attempts_and_waits_share_the_one_deadline() {
    let dependency = dependency();
    let told = Told::new(&dependency, Fate::Hangs);
    let start = Instant::now();
    let error = told.run(&within(MS * 800)).await.unwrap_err();
    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    assert_eq!(start.elapsed() + HOP_MARGIN, MS * 800);
    let begun = told.begun.lock().unwrap().clone();
    assert_eq!(begun.iter().map(|attempt| attempt.previous).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(begun.iter().all(|attempt| attempt.end <= start + MS * 795));
}

#[tokio::test(start_paused = true)]
async fn with_less_than_ten_milliseconds_left_nothing_is_begun() {
    let dependency = dependency();
    for (left, begins) in [(0, false), (9, false), (10, true), (11, true)] {
        let told = Told::new(&dependency, Fate::Answers);
        let outcome = told.run(&within(MS * left)).await;
        assert_eq!((outcome.is_ok(), told.count()), (begins, usize::from(begins)), "{left} ms");
    }
    assert_eq!(dependency.series.too_late.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn whether_a_call_may_have_left_is_known() {
    let dependency = dependency();
    let left = async |fate, time| {
        let error = Told::new(&dependency, fate).run(&within(time)).await.unwrap_err();
        error.may_have_left()
    };
    assert!(!left(Fate::Hangs, MS * 9).await, "too late to begin");
    assert!(left(Fate::Hangs, MS * 100).await, "the call is over");
    assert!(left(Fate::Hangs, MS * 5000).await, "the attempts are");
    assert!(left(Fate::Fails(Verdict::Ill, Again::Never), MS * 500).await);

    let open = opened().await;
    let told = Told::new(&open, Fate::Answers);
    assert!(!told.run(&within(MS * 500)).await.unwrap_err().may_have_left());
    let attempt = Attempt { previous: 0, end: Instant::now(), call_end: Instant::now(), given: MS };
    assert!(!open.crowded(attempt).error.may_have_left());
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_done_twice_is_done_once() {
    let dependency = dependency();
    let told_to = Again::After(Duration::ZERO);
    for fate in [
        Fate::Hangs,
        Fate::Fails(Verdict::Ill, Again::Scheduled),
        Fate::Fails(Verdict::Ill, told_to),
    ] {
        let told = Told { is_repeatable: false, ..Told::new(&dependency, fate) };
        let error = told.run(&within(MS * 5000)).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert_eq!(told.count(), 1, "{fate:?}");
    }
    assert_eq!(dependency.series.retries.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn four_attempts_are_the_most_and_waits_follow_the_schedule() {
    let dependency = dependency();
    let told = Told::new(&dependency, Fate::Fails(Verdict::Ill, Again::Scheduled));
    told.run(&within(MS * 5000)).await.unwrap_err();
    let waits = told.waits();
    assert_eq!(waits.len(), 3);
    for (wait, step) in waits.into_iter().zip([50_u32, 100, 200]) {
        // A timer is up to a millisecond late.
        let within = MS * (step * 8 / 10)..=MS * (step * 12 / 10 + 2);
        assert!(within.contains(&wait), "{wait:?} of {step} ms");
    }
    let told = Told::new(&dependency, Fate::AnswersAfter(2));
    told.run(&within(MS * 5000)).await.unwrap();
    assert_eq!(told.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn push_back_is_obeyed_exactly() {
    let dependency = dependency();
    for asked in [0, 70, 400] {
        let told = Told::new(&dependency, Fate::Fails(Verdict::Well, Again::After(MS * asked)));
        told.run(&within(MS * 5000)).await.unwrap_err();
        for wait in told.waits() {
            assert!((MS * asked..=MS * (asked + 1)).contains(&wait), "{wait:?} of {asked} ms");
        }
        assert_eq!(told.count(), 4);
    }
    // Never is never, and a time past the deadline is not begun to be waited for.
    for again in [Again::Never, Again::After(MS * 600), Again::After(Duration::MAX)] {
        let told = Told::new(&dependency, Fate::Fails(Verdict::Well, again));
        let start = Instant::now();
        told.run(&within(MS * 500)).await.unwrap_err();
        assert_eq!((told.count(), start.elapsed()), (1, Duration::ZERO), "{again:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_end_with_the_budget() {
    let dependency = dependency();
    let mut attempts = 0;
    for _ in 0..1000 {
        // It says that it is well: the breaker has no part in this.
        let told = Told::new(&dependency, Fate::Fails(Verdict::Well, Again::Scheduled));
        told.run(&within(MS * 5000)).await.unwrap_err();
        attempts += told.count();
    }
    assert!((1020..=1100).contains(&attempts), "{attempts}");
    assert!(dependency.series.over_budget.get() > 900);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_answers_at_once_and_nothing_reaches_the_dependency() {
    let dependency = opened().await;
    let start = Instant::now();
    for _ in 0..1000 {
        let told = Told::new(&dependency, Fate::Answers);
        let error = told.run(&within(MS * 500)).await.unwrap_err();
        assert!(matches!(error, Error::BreakerOpen { .. }), "{error:?}");
        assert_eq!(told.count(), 0);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn of_many_callers_one_is_the_probe_and_its_success_lets_all_pass() {
    let dependency = opened().await;
    time::advance(Duration::from_secs(1)).await;
    let probe = Told::new(&dependency, Fate::Hangs);
    let other = Told::new(&dependency, Fate::Answers);
    let call = within(MS * 5000);
    let others = async {
        for _ in 0..100 {
            other.run(&call).await.unwrap_err();
        }
    };
    let probe_call = within(MS * 250);
    let (outcome, ()) = join!(probe.run(&probe_call), others);
    outcome.unwrap_err();
    assert_eq!((probe.count(), other.count()), (1, 0));
    time::advance(Duration::from_secs(1)).await;
    other.run(&within(MS * 500)).await.unwrap();
    other.run(&within(MS * 500)).await.unwrap();
    assert_eq!(other.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn callers_in_a_hurry_open_no_breaker_for_the_others() {
    let dependency = dependency();
    for _ in 0..200 {
        let told = Told::new(&dependency, Fate::Hangs);
        told.run(&within(MS * 100)).await.unwrap_err();
        assert_eq!(told.count(), 1);
    }
    Told::new(&dependency, Fate::Answers).run(&within(MS * 100)).await.unwrap();
}

#[tokio::test]
async fn no_call_leaves_while_a_transaction_is_open() {
    let dependency = dependency();
    let told = Told::new(&dependency, Fate::Answers);
    let error = ::call::hold_calls(told.run(&within(MS * 500))).await.unwrap_err();
    assert!(matches!(error, Error::TransactionOpen { .. }), "{error:?}");
    assert_eq!(told.count(), 0);
    told.run(&within(MS * 500)).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Calls dropped at any moment, whatever they were at.
    #[test]
    fn calls_that_are_given_up_leave_nothing_behind(
        drops in prop::collection::vec((0..700_u32, 0..3_usize), 1..60)
    ) {
        let runtime =
            runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let dependency = dependency();
            let ended = AtomicUsize::new(0);
            for (after, fate) in drops {
                let ill = Fate::Fails(Verdict::Ill, Again::Scheduled);
                let told = Told::new(&dependency, [Fate::Hangs, ill, Fate::Answers][fate]);
                let call = within(MS * 1000);
                if time::timeout(MS * after, told.run(&call)).await.is_ok() {
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            }
            // Well again: one second later, or at once, everything passes.
            let told = Told::new(&dependency, Fate::Answers);
            if told.run(&within(MS * 500)).await.is_err() {
                time::advance(Duration::from_secs(1)).await;
                told.run(&within(MS * 500)).await.unwrap();
            }
            told.run(&within(MS * 500)).await.unwrap();
        });
    }
}
