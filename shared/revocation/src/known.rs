//! What is known of the revocations, and how long that may be believed. It takes the time, and
//! neither reads nor waits.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use clock::Moment;
use identity::UserId;
use quick_cache::sync::Cache;
use tokio::time::Instant;
use uuid::Uuid;

use crate::standing::Standing;

/// The most persons of whom it is known how they stand; more are asked for again.
pub(crate) const PERSONS_MAX: usize = 10_000;

/// The most changes that are taken in one by one.
pub(crate) const CHANGES_MAX: usize = 1_000;

/// The most persons who are doubted one by one. Beyond that everybody is.
const DOUBTED_MAX: usize = 10_000;

/// What a read has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Which database it is: a restored one or one that lost its end in a failover is another.
    pub(crate) epoch: Uuid,
    /// What was written by transactions of before is settled, and in here.
    pub(crate) horizon: i64,
    /// What has changed since the horizon of the last read, at most [`CHANGES_MAX`].
    pub(crate) changed: Vec<(UserId, Standing)>,
    /// How those stand that were asked for, if there is anything to say of them.
    pub(crate) asked: Vec<(UserId, Standing)>,
}

/// What is known.
#[derive(Debug)]
pub(crate) struct Known {
    believed_for: Duration,
    as_of: RwLock<AsOf>,
    persons: Cache<UserId, Standing>,
    doubts: Mutex<Doubts>,
}

/// As of when it is known.
#[derive(Debug, Default)]
struct AsOf {
    read: Option<Moment>,
    /// The epoch and the horizon of the last read.
    place: Option<(Uuid, i64)>,
}

/// Of whom something was changed here, and when: a read that began before that says nothing of how
/// they stand now.
#[derive(Debug, Default)]
struct Doubts {
    of: HashMap<UserId, Instant>,
    /// Of everybody, where there were too many.
    of_all: Option<Instant>,
}

/// How what is known stands to a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Age {
    /// It can be believed.
    Fresh,
    /// It can be believed, and not for long.
    Due,
    /// It cannot be believed.
    Old,
}

impl Known {
    pub(crate) fn nothing(believed_for: Duration) -> Self {
        let persons = Cache::new(PERSONS_MAX);
        Self { believed_for, as_of: RwLock::default(), persons, doubts: Mutex::default() }
    }

    /// How old it is.
    pub(crate) fn age(&self, now: Moment) -> Age {
        let as_of = self.as_of.read().unwrap_or_else(PoisonError::into_inner);
        match as_of.read.map(|read| read.age(now)) {
            Some(age) if age <= self.believed_for / 2 => Age::Fresh,
            Some(age) if age <= self.believed_for => Age::Due,
            Some(_) | None => Age::Old,
        }
    }

    /// How a person stands, if that is known.
    pub(crate) fn standing(&self, id: &UserId) -> Option<Standing> {
        self.persons.get(id)
    }

    /// From where on the next read looks for changes.
    pub(crate) fn horizon(&self) -> Option<i64> {
        self.place().map(|(_epoch, horizon)| horizon)
    }

    fn place(&self) -> Option<(Uuid, i64)> {
        self.as_of.read().unwrap_or_else(PoisonError::into_inner).place
    }

    /// Takes in what a read has found that began at `began` and asked for `ids`.
    pub(crate) fn take(&self, began: Moment, ids: &[UserId], found: Found) {
        // Held, so that whoever is doubted meanwhile is forgotten after this.
        let mut doubts = self.doubts();
        let is_told = |id: &UserId| doubts.of.get(id).is_none_or(|since| *since <= began.instant);
        // The first read has looked for no changes, one that found too many has not told them all,
        // and what is known of another database, restored or failed over to, says nothing of this.
        let is_same = self
            .place()
            .is_some_and(|(epoch, horizon)| found.epoch == epoch && found.horizon >= horizon);
        let is_gapless = is_same && found.changed.len() < CHANGES_MAX;
        if is_gapless {
            for (id, standing) in found.changed.into_iter().filter(|(id, _)| is_told(id)) {
                // Of a person who is not known nothing has to be known.
                let _unknown = self.persons.replace(id, standing, true);
            }
        } else {
            self.persons.clear();
        }
        let said: HashMap<_, _> = found.asked.into_iter().collect();
        for id in ids.iter().filter(|id| is_told(id)) {
            self.persons.insert(id.clone(), said.get(id).cloned().unwrap_or_default());
        }
        let mut as_of = self.as_of.write().unwrap_or_else(PoisonError::into_inner);
        as_of.place = Some((found.epoch, found.horizon));
        if doubts.of_all.is_none_or(|since| since <= began.instant) {
            as_of.read = Some(began);
        }
        // Reads come one after the other: none is left that began before this one.
        doubts.of.retain(|_id, since| *since > began.instant);
    }

    /// Believes nothing of a person until it was read anew, after something was changed here: others
    /// need not wait for that.
    pub(crate) fn doubt(&self, id: &UserId, now: Moment) {
        let mut doubts = self.doubts();
        if doubts.of.len() >= DOUBTED_MAX {
            doubts.of.clear();
            doubts.of_all = Some(now.instant);
            self.as_of.write().unwrap_or_else(PoisonError::into_inner).read = None;
        }
        doubts.of.insert(id.clone(), now.instant);
        self.persons.remove(id);
    }

    fn doubts(&self) -> MutexGuard<'_, Doubts> {
        self.doubts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many persons are known.
    pub(crate) fn len(&self) -> usize {
        self.persons.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: Duration = Duration::from_secs(5);

    fn id(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn over() -> Standing {
        Standing { is_disabled: true, ..Standing::default() }
    }

    fn now() -> Moment {
        Moment { instant: Instant::now(), unix_micros: 0 }
    }

    fn later(of: Moment, by: Duration) -> Moment {
        let micros = i64::try_from(by.as_micros()).unwrap();
        Moment { instant: of.instant + by, unix_micros: of.unix_micros + micros }
    }

    fn found(horizon: i64, changed: &[&str], asked: &[&str]) -> Found {
        let over = |names: &[&str]| names.iter().map(|name| (id(name), over())).collect();
        Found { epoch: Uuid::nil(), horizon, changed: over(changed), asked: over(asked) }
    }

    /// Ada and Bob are known, as of now.
    fn two(now: Moment) -> Known {
        let known = Known::nothing(MAX);
        known.take(now, &[id("ada"), id("bob")], found(100, &[], &["bob"]));
        known
    }

    #[test]
    fn of_whom_nothing_is_said_everything_is_known() {
        let known = two(now());
        assert_eq!(known.standing(&id("ada")), Some(Standing::default()));
        assert_eq!(known.standing(&id("bob")), Some(over()));
        assert_eq!(known.standing(&id("eve")), None);
    }

    #[test]
    fn it_is_due_before_it_is_old() {
        let start = now();
        let known = two(start);
        let ages = [0, 2500, 2501, 5000, 5001]
            .map(|millis| known.age(later(start, Duration::from_millis(millis))));
        assert_eq!(ages, [Age::Fresh, Age::Fresh, Age::Due, Age::Due, Age::Old]);
        assert_eq!(Known::nothing(MAX).age(start), Age::Old);
    }

    #[test]
    fn a_machine_that_slept_or_whose_clock_was_set_back_believes_no_longer() {
        let start = now();
        let known = two(start);
        let slept = Moment { instant: start.instant, unix_micros: 5_000_001 };
        let set_back = Moment { instant: start.instant + MAX * 2, unix_micros: i64::MIN };
        assert_eq!([known.age(slept), known.age(set_back)], [Age::Old; 2]);
    }

    #[test]
    fn a_change_reaches_whoever_is_known_and_nobody_else() {
        let known = two(now());
        known.take(now(), &[], found(100, &["ada", "eve"], &[]));
        assert_eq!(known.standing(&id("ada")), Some(over()));
        assert_eq!(known.standing(&id("eve")), None);
        assert_eq!(known.len(), 2);
    }

    #[test]
    fn too_many_changes_or_another_log_leave_nobody_known_but_who_was_asked_for() {
        let many: Vec<_> = (0..CHANGES_MAX).map(|n| n.to_string()).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let another = Found { epoch: Uuid::max(), ..found(101, &["ada"], &[]) };
        for found in [found(101, &many, &[]), found(99, &[], &[]), another] {
            let known = two(now());
            known.take(now(), &[id("eve")], found);
            assert_eq!(known.standing(&id("bob")), None);
            assert_eq!(known.standing(&id("eve")), Some(Standing::default()));
        }
    }

    #[test]
    fn a_read_that_began_before_somebody_was_revoked_here_says_nothing_of_them_and_all_of_others() {
        let start = now();
        let known = two(start);
        let (before, at) =
            (later(start, Duration::from_millis(1)), later(start, Duration::from_millis(2)));
        known.doubt(&id("ada"), at);
        assert_eq!((known.age(at), known.standing(&id("ada"))), (Age::Fresh, None));
        assert_eq!(known.standing(&id("bob")), Some(over()));

        let both = [id("ada"), id("eve")];
        known.take(before, &both, found(100, &["ada"], &["eve"]));
        assert_eq!(known.standing(&id("ada")), None);
        assert_eq!(known.standing(&id("eve")), Some(over()));
        known.take(at, &both, found(100, &[], &["ada"]));
        assert_eq!(known.standing(&id("ada")), Some(over()));
        assert_eq!(known.doubts().of.len(), 0);
    }

    #[test]
    fn of_too_many_who_are_doubted_nobody_is_believed_and_none_is_kept_for_long() {
        let start = now();
        let known = two(start);
        let (before, at) =
            (later(start, Duration::from_millis(1)), later(start, Duration::from_millis(2)));
        for n in 0..DOUBTED_MAX {
            known.doubt(&id(&n.to_string()), at);
        }
        assert_eq!(known.age(at), Age::Fresh);
        known.doubt(&id("ada"), at);
        assert_eq!((known.age(at), known.doubts().of.len()), (Age::Old, 1));
        known.take(before, &[], found(100, &[], &[]));
        assert_eq!(known.age(at), Age::Old);
        known.take(at, &[], found(100, &[], &[]));
        assert_eq!((known.age(at), known.doubts().of.len()), (Age::Fresh, 0));
        assert_eq!(known.standing(&id("bob")), Some(over()));
        assert_eq!(known.standing(&id("ada")), None);
    }

    /// What happens to three people in one process, and to what it knows of them.
    #[derive(Clone, Copy, Debug)]
    enum Happens {
        /// Something is written of one of them here.
        Here(usize),
        /// Or elsewhere, which a read has to find.
        There(usize),
        /// A read begins, if none is under way, and asks for these.
        Begins([bool; 3]),
        /// It has looked by now.
        Looks,
        /// And brings what it has seen.
        Lands,
    }

    fn happens() -> impl Strategy<Value = Happens> {
        prop_oneof![
            (0..3_usize).prop_map(Happens::Here),
            (0..3_usize).prop_map(Happens::There),
            any::<[bool; 3]>().prop_map(Happens::Begins),
            Just(Happens::Looks),
            Just(Happens::Lands),
        ]
    }

    /// A read that is under way: when it began, whom it asks for, and what it has seen.
    struct Read {
        began: Moment,
        asked: Vec<usize>,
        seen: Option<[i64; 3]>,
    }

    proptest! {
        /// How often somebody was written of stands for how they stand.
        #[test]
        fn nobody_is_known_as_they_stood_before_something_was_written_of_them_here(
            all in prop::collection::vec(happens(), 1..60),
        ) {
            let ids = ["ada", "bob", "eve"].map(id);
            let known = Known::nothing(MAX);
            let (mut at, mut written, mut least) = (now(), [0; 3], [0; 3]);
            let (mut read, mut told) = (None::<Read>, [0; 3]);
            for one in all {
                at = later(at, Duration::from_millis(1));
                let before = [0, 1, 2].map(|n| known.standing(&ids[n]).is_some());
                match one {
                    Happens::Here(n) => {
                        written[n] += 1;
                        least[n] = written[n];
                        known.doubt(&ids[n], at);
                        for other in (0..3).filter(|other| *other != n) {
                            prop_assert_eq!(known.standing(&ids[other]).is_some(), before[other]);
                        }
                    }
                    Happens::There(n) => written[n] += 1,
                    Happens::Begins(asks) if read.is_none() => {
                        let asked = (0..3).filter(|n| asks[*n]).collect();
                        read = Some(Read { began: at, asked, seen: None });
                    }
                    Happens::Looks => {
                        if let Some(read) = &mut read {
                            read.seen.get_or_insert(written);
                        }
                    }
                    Happens::Lands => {
                        let Some(Read { began, asked, seen }) = read.take() else { continue };
                        let seen = seen.unwrap_or(written);
                        let says = |n: usize| {
                            (ids[n].clone(), Standing { valid_from: seen[n], ..Standing::default() })
                        };
                        let changed = (0..3).filter(|n| seen[*n] != told[*n]).map(says).collect();
                        let found = Found {
                            horizon: seen.iter().sum(),
                            changed,
                            asked: asked.iter().copied().map(says).collect(),
                            ..Found::default()
                        };
                        let ids: Vec<_> = asked.iter().map(|n| ids[*n].clone()).collect();
                        known.take(began, &ids, found);
                        told = seen;
                    }
                    Happens::Begins(_) => {}
                }
                for (id, least) in ids.iter().zip(least) {
                    let stands = known.standing(id).map(|standing| standing.valid_from);
                    prop_assert!(stands.is_none_or(|stands| stands >= least), "{stands:?}");
                }
            }
        }
    }
}
