//! What holds of a breaker whatever happens to it.

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug)]
enum Event {
    Admit,
    /// Settles one of the tickets that are out.
    Settle(usize, Verdict),
    Pass(u32),
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![3 => Just(Verdict::Well), 6 => Just(Verdict::Ill), 1 => Just(Verdict::Unknown)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Admit),
        8 => (any::<usize>(), verdict()).prop_map(|(which, verdict)| Event::Settle(which, verdict)),
        1 => (0..3000_u32).prop_map(Event::Pass),
    ]
}

/// A breaker and everything that is under way.
struct World {
    breaker: Breaker,
    now: Instant,
    out: Vec<Ticket>,
}

impl World {
    fn new() -> Self {
        let now = Instant::now();
        Self { breaker: Breaker::new(now), now, out: Vec::new() }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Admit => self.out.extend(self.breaker.admit(self.now)),
            Event::Settle(which, verdict) if !self.out.is_empty() => {
                let ticket = self.out.swap_remove(which % self.out.len());
                self.breaker.settle(ticket, verdict, self.now);
            }
            Event::Settle(..) => {}
            Event::Pass(millis) => self.now += MS * millis,
        }
    }

    /// The dependency is well from here on, and called every 10 ms: how long until all passes?
    fn recovers_in(&mut self) -> Duration {
        let start = self.now;
        while self.breaker.standing() != Standing::Closed {
            if let Ok(ticket) = self.breaker.admit(self.now) {
                self.breaker.settle(ticket, Verdict::Well, self.now);
            }
            self.now += MS * 10;
            assert!(self.now - start < Duration::from_mins(2), "never");
        }
        self.now - start
    }
}

/// An opened breaker, by as many failures as it takes.
fn opened() -> World {
    let mut world = World::new();
    for _ in 0..VOLUME_MIN {
        let ticket = world.breaker.admit(world.now).unwrap();
        world.breaker.settle(ticket, Verdict::Ill, world.now);
    }
    assert_eq!(world.breaker.standing(), Standing::Open);
    world
}

proptest! {
    #[test]
    fn a_breaker_always_closes_after_recovery(
        events in prop::collection::vec(event(), 0..400)
    ) {
        let mut world = World::new();
        for event in events {
            world.happens(event);
        }
        // What was under way is given up, in any order.
        while !world.out.is_empty() {
            world.happens(Event::Settle(0, Verdict::Unknown));
        }
        prop_assert!(world.recovers_in() <= OPEN_FOR + MS * 20);
    }

    #[test]
    fn it_closes_even_when_a_probe_is_never_heard_of_again(
        events in prop::collection::vec(event(), 0..400)
    ) {
        let mut world = World::new();
        for event in events {
            world.happens(event);
        }
        // The tickets that are out are lost: nobody drops them, nobody settles them.
        prop_assert!(world.recovers_in() <= PROBE_MAX + OPEN_FOR + MS * 20);
    }

    #[test]
    fn nothing_passes_an_open_breaker_and_one_probe_a_half_open_one(
        events in prop::collection::vec(event(), 0..400)
    ) {
        let mut world = World::new();
        let mut probe: Option<Instant> = None;
        for event in events {
            let before = world.breaker.standing();
            let passed_before = world.out.len();
            let until = match world.breaker.state {
                State::Open { until } => Some(until),
                State::Closed(_) | State::Probing { .. } => None,
            };
            world.happens(event);
            let has_passed = world.out.len() > passed_before;
            match before {
                Standing::Open if has_passed => {
                    prop_assert!(until.is_some_and(|until| world.now >= until));
                    prop_assert_eq!(world.breaker.standing(), Standing::HalfOpen);
                    // Never more often than that, whatever became of the one before.
                    prop_assert!(probe.is_none_or(|probe| world.now - probe >= OPEN_FOR));
                    probe = Some(world.now);
                }
                Standing::HalfOpen if has_passed => {
                    prop_assert!(probe.is_some_and(|probe| world.now - probe >= PROBE_MAX));
                    probe = Some(world.now);
                }
                Standing::Closed | Standing::Open | Standing::HalfOpen => {}
            }
        }
    }

    #[test]
    fn late_outcomes_of_an_earlier_standing_change_nothing(
        late in prop::collection::vec(verdict(), 60)
    ) {
        let mut world = World::new();
        let early: Vec<_> = late.iter().map(|_| world.breaker.admit(world.now).unwrap()).collect();
        let mut early = early.into_iter().zip(late);
        let mut come_late = |world: &mut World, standing| {
            for (ticket, verdict) in early.by_ref().take(20) {
                world.breaker.settle(ticket, verdict, world.now);
                assert_eq!(world.breaker.standing(), standing);
            }
        };
        for _ in 0..VOLUME_MIN {
            world.happens(Event::Admit);
            world.happens(Event::Settle(0, Verdict::Ill));
        }
        come_late(&mut world, Standing::Open);
        world.now += OPEN_FOR;
        world.happens(Event::Admit);
        come_late(&mut world, Standing::HalfOpen);
        world.happens(Event::Settle(0, Verdict::Well));
        come_late(&mut world, Standing::Closed);
    }

    /// A second away, a second back, at any rate and from any moment on.
    #[test]
    fn one_that_comes_and_goes_is_not_shut_out_for_longer_than_twice_its_absence(
        gap in 2..50_u32, offset in 0..2000_u32
    ) {
        let mut world = World::new();
        let start = world.now;
        world.now += MS * offset;
        let (mut shut, mut absent) = (Duration::ZERO, Duration::ZERO);
        while world.now < start + Duration::from_mins(1) {
            let is_absent = (world.now - start).as_secs().is_multiple_of(2);
            let verdict = if is_absent { Verdict::Ill } else { Verdict::Well };
            if let Ok(ticket) = world.breaker.admit(world.now) {
                world.breaker.settle(ticket, verdict, world.now);
            }
            world.now += MS * gap;
            absent += if is_absent { MS * gap } else { Duration::ZERO };
            let is_shut = world.breaker.standing() != Standing::Closed;
            shut += if is_shut { MS * gap } else { Duration::ZERO };
        }
        prop_assert!(shut <= absent * 2, "{:?} for {:?}", shut, absent);
        // Of one that was well first, good attempts may stay just above half.
        let fails_at_once = offset + gap * VOLUME_MIN <= 1000;
        prop_assert!(shut > Duration::ZERO || !fails_at_once);
    }
}

#[test]
fn half_of_enough_attempts_within_the_window_open_it() {
    let outcomes = |failed: u32, well: u32, every: Duration| {
        let mut world = World::new();
        for place in 0..failed + well {
            let ticket = world.breaker.admit(world.now).unwrap();
            let verdict = if place < well { Verdict::Well } else { Verdict::Ill };
            world.breaker.settle(ticket, verdict, world.now);
            world.now += every;
            if world.breaker.standing() == Standing::Open {
                return true;
            }
        }
        false
    };
    assert!(outcomes(10, 0, MS) && outcomes(5, 5, MS) && outcomes(50, 50, MS));
    assert!(!outcomes(9, 0, MS), "too few to conclude anything");
    assert!(!outcomes(49, 51, MS), "less than half");
    assert!(!outcomes(20, 0, Duration::from_secs(2)), "too long ago");

    let mut world = World::new();
    for pause in [[0; 9].as_slice(), &[15_000]].concat() {
        world.happens(Event::Pass(pause));
        world.happens(Event::Admit);
        world.happens(Event::Settle(0, Verdict::Ill));
    }
    assert_eq!(world.breaker.standing(), Standing::Closed, "nine of them too long ago");
}

#[test]
fn its_own_rejections_count_for_nothing() {
    let mut world = opened();
    let until = world.now + OPEN_FOR;
    for _ in 0..10_000 {
        assert_eq!(world.breaker.admit(world.now).unwrap_err(), Rejected { until });
        world.now += Duration::from_micros(99);
    }
    assert!(world.breaker.admit(until).is_ok(), "the wait has not grown");
    assert_eq!(world.breaker.standing(), Standing::HalfOpen);
}

#[test]
fn attempts_that_say_nothing_open_nothing() {
    let mut world = World::new();
    for _ in 0..1000 {
        world.happens(Event::Admit);
        world.happens(Event::Settle(0, Verdict::Unknown));
    }
    assert_eq!(world.breaker.standing(), Standing::Closed);
}

#[test]
fn a_probe_decides() {
    for (verdict, standing) in [
        (Verdict::Well, Standing::Closed),
        (Verdict::Ill, Standing::Open),
        (Verdict::Unknown, Standing::Open),
    ] {
        let mut world = opened();
        world.now += OPEN_FOR;
        world.happens(Event::Admit);
        assert!(world.breaker.admit(world.now).is_err(), "there is a probe");
        world.now += OPEN_FOR;
        world.happens(Event::Settle(0, verdict));
        assert_eq!(world.breaker.standing(), standing, "{verdict:?}");
        // One that said nothing is followed by another at once, if it took that long to say it.
        let admits = world.breaker.admit(world.now).is_ok();
        assert_eq!(admits, verdict != Verdict::Ill, "{verdict:?}");
    }
}
