//! Callers who change their mind, a crowd of them over connections they share: nothing of theirs is
//! left, and nobody is answered with what is another's.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use proto::user::v1::{
    BatchGetProfilesRequest, GetProfileRequest, Profile, WatchProfilesRequest,
    WatchProfilesResponse, watch_profiles_response::Event,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::{
    Case, Field, Seen,
    field::{person, token},
    writers::{create, is_unavailable},
    writes::{Lock, nothing_is_left},
};
use crate::{Person, Server, until};

pub(super) const CASES: &[Case] = &[Case {
    name: "calls that are cancelled at random moments",
    expected: "20 people, each answered with their own profile alone, 1 % sent away at most; every call counted as ended 50 ms after the last (and what timers are late); 500 ms later nothing left in Postgres, all of the pool given back; then every place for a call and every seat for a watch is free, and not one more",
    run: |field| Box::pin(cancelled_calls(field)),
}];

/// Connections at a time, and people who call over each of them in turn.
const CALLERS: usize = 20;

/// Calls over one connection: fewer than so many may be reset, or the client is taken for hostile.
const RESETS_OF_A_CONNECTION: usize = 300;

/// A cancel comes within this time of its call: some come too late, and some right at the answer. Of a
/// debug build, beside other tests, the answer itself comes later.
const CANCEL_MICROS_MAX: usize = 6_000;
const CANCEL_MICROS_BESIDE_OTHERS_MAX: usize = 60_000;

/// Of so many calls one waits for its answer, whatever cancels do.
const PATIENT: usize = 10;

/// So many calls at most for each that is cancelled.
const TRIES_MAX: usize = 20;

/// Places for calls, and seats for watches: few, so that one that was lost is missed. A call that is
/// cancelled may have its own until the next of its client is there; of the seats a person has a tenth.
const PLACES: usize = 2 * CALLERS;
const SEATS: usize = 10 * CALLERS;
const SEATS_OF_A_PERSON: usize = SEATS / 10;

/// How long a handler may go on for a caller that has gone.
const DROPPED_MAX: Duration = Duration::from_millis(50);

/// How often a timer is asked how late it is.
const TICK: Duration = Duration::from_millis(1);

/// How soon it has to serve as before.
const SERVED_MAX: Duration = Duration::from_secs(1);

const SOON: Duration = Duration::from_secs(10);

/// The people, by their names.
type Names = Arc<[String]>;

/// What one of the callers does.
struct Plan {
    number: usize,
    /// So many calls are cancelled.
    each: usize,
    /// After so long at most.
    micros_max: usize,
}

/// What became of calls.
#[derive(Debug, Default)]
struct Tally {
    calls: usize,
    cancelled: usize,
    own: usize,
    /// Calls without an answer: a busy server sees many resets at once, and sends their client away.
    cut_off: usize,
    /// Answers that were not the caller's profile alone.
    others: Vec<String>,
}

impl Tally {
    fn with(mut self, other: Self) -> Self {
        self.calls += other.calls;
        self.cancelled += other.cancelled;
        self.own += other.own;
        self.cut_off += other.cut_off;
        self.others.extend(other.others);
        self
    }
}

async fn cancelled_calls(field: &Field) -> Seen {
    let mut seen = Seen::default();
    let (places, seats) = (PLACES.to_string(), SEATS.to_string());
    let server = field.server(&[
        ("DB_WAIT_MS_MAX", "30000"),
        ("MAX_IN_FLIGHT", &places),
        ("MAX_WATCHES", &seats),
    ]);
    let names = people(&server, field.pick("cancels", "cancelf")).await;
    let each: usize = field.pick(50, 5_000);
    let micros_max = field.pick(CANCEL_MICROS_BESIDE_OTHERS_MAX, CANCEL_MICROS_MAX);
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let plan = Plan { number, each, micros_max };
        callers.spawn(call_and_cancel(server.address, Arc::clone(&names), plan));
    }
    let told = callers.join_all().await.into_iter().fold(Tally::default(), Tally::with);
    let Tally { calls, cancelled, own, cut_off, others } = told;
    let told = format!("{calls} calls, {cancelled} cancelled, {cut_off} sent away");
    let is_served = field.is_short() || cut_off * 100 <= calls;
    seen.note(cancelled == each * CALLERS && is_served, told);
    let (count, some) = (others.len(), others.iter().take(3).collect::<Vec<_>>());
    let is_good = own > 0 && others.is_empty();
    seen.note(is_good, format!("{own} answers were the asker's, {count} were not {some:?}"));
    all_are_counted(&mut seen, field, &server).await;
    nothing_is_left(&mut seen, field, &server).await;
    serves_on(&mut seen, field, &person(&server, &names[0])).await;
    all_places_are_free(&mut seen, field, (&server, &names)).await;
    all_seats_are_free(&mut seen, (&server, &names)).await;
    seen
}

/// Holds as many calls as there are places, by a lock, and then tries one more.
async fn all_places_are_free(
    seen: &mut Seen,
    field: &Field,
    (server, names): (&Server, &[String]),
) {
    let lock = Lock::on_profiles(field).await;
    let own = async |caller: Person| {
        caller.user().get_profile(GetProfileRequest::default()).await.map(drop)
    };
    let mut held = JoinSet::new();
    for place in 0..PLACES {
        held.spawn(own(person(server, &names[place % names.len()])));
    }
    // Where one was lost they never are.
    let (all, start) = (i64::try_from(PLACES).unwrap_or(i64::MAX), Instant::now());
    while unfinished(server).await != all && start.elapsed() < SERVED_MAX {
        sleep(TICK).await;
    }
    let one_more = own(person(server, &names[0])).await;
    lock.release().await;
    let held = held.join_all().await;
    // Beside other tests one or another does not end in its time; it had a place.
    let had_a_place = |outcome: &Result<(), Status>| match outcome {
        Ok(()) => true,
        Err(status) => field.is_short() && status.code() == Code::DeadlineExceeded,
    };
    let (had, of) = (held.iter().filter(|outcome| had_a_place(outcome)).count(), held.len());
    let is_shed = one_more.as_ref().is_err_and(|status| reason(status) == "SHED");
    seen.note(
        had == of && is_shed,
        format!("{had} of {of} places free, and one more: {}", told(one_more)),
    );
}

/// Takes all seats, each person as many as they may have, and then tries one more: one half of the
/// people, and then the other.
async fn all_seats_are_free(seen: &mut Seen, (server, names): (&Server, &[String])) {
    let (some, others) = names.split_at(SEATS / SEATS_OF_A_PERSON);
    for (who, one_more) in [(some, &others[0]), (others, &some[0])] {
        let mut taken = Vec::new();
        for name in who {
            let caller = person(server, name);
            for _seat in 0..SEATS_OF_A_PERSON {
                taken.push(watches(&caller).await);
            }
        }
        let one_more = watches(&person(server, one_more)).await;
        let (had, of) = (taken.iter().filter(|watch| watch.is_ok()).count(), taken.len());
        let is_shed = one_more.as_ref().is_err_and(|status| reason(status) == "SHED");
        seen.note(
            had == of && of == SEATS && is_shed,
            format!("{had} of {of} seats free, and one more: {}", told(one_more)),
        );
        drop(taken);
        let counted = async || unfinished(server).await == 0;
        until("all watches are counted", SOON, counted).await;
    }
}

/// Why a call was refused, in a word.
fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn told<T>(outcome: Result<T, Status>) -> String {
    outcome.map_or_else(
        |status| format!("{:?} {}", status.code(), reason(&status)),
        |_| "taken".to_owned(),
    )
}

async fn serves_on(seen: &mut Seen, field: &Field, caller: &Person) {
    let own = async || caller.user().get_profile(GetProfileRequest::default()).await.is_ok();
    let took = until("it serves on", SOON, own).await;
    let is_soon = took <= field.pick(SOON, SERVED_MAX);
    seen.note(is_soon, format!("serves on after {:.0} ms", took.as_secs_f64() * 1e3));
}

/// People who have a profile each, which nobody else may see.
async fn people(server: &Server, prefix: &str) -> Names {
    let names: Vec<_> = (0..CALLERS).map(|number| format!("{prefix}_{number}")).collect();
    for name in &names {
        create(&person(server, name), name).await.expect("a profile");
    }
    names.into()
}

/// Calls until `each` are cancelled, for one person after another.
async fn call_and_cancel(address: SocketAddr, names: Names, plan: Plan) -> Tally {
    let Plan { number, each, micros_max } = plan;
    let people: Vec<_> = names.iter().map(|name| (name, token(name))).collect();
    let mut tally = Tally::default();
    while tally.cancelled < each && tally.calls < each * TRIES_MAX {
        let seat = Person::new(address, "seat", None);
        for _call in 0..RESETS_OF_A_CONNECTION.min(each - tally.cancelled) {
            tally.calls += 1;
            let (name, bearer) = &people[(tally.calls + number) % people.len()];
            let caller = seat.signed_in_as(name, bearer.clone());
            let micros = (tally.calls * 7_919 + number * 104_729) % micros_max;
            // A watch has no end to be waited for.
            let is_patient =
                tally.calls.is_multiple_of(PATIENT) && Asked::by(tally.calls) != Asked::Watch;
            let after = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
            let after = if is_patient { SOON } else { after };
            match timeout(after, asks(&caller, &names, tally.calls)).await {
                Err(_cancelled) => tally.cancelled += 1,
                Ok(answer) if is_own(&answer, name) => tally.own += 1,
                Ok(Err(status)) if is_sent_away(&status) => tally.cut_off += 1,
                Ok(answer) => tally.others.push(format!("{name} was told {answer:?}")),
            }
        }
    }
    tally
}

/// How somebody asks for their own profile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    Alone,
    AmongEverybodys,
    /// Which tells it, and then goes on without an end.
    Watch,
}

impl Asked {
    /// People and RPCs change at different paces, so that each asks in every way.
    fn by(call: usize) -> Self {
        match (call / CALLERS) % 3 {
            0 => Self::Alone,
            1 => Self::AmongEverybodys,
            _ => Self::Watch,
        }
    }
}

async fn asks(caller: &Person, names: &Names, call: usize) -> Result<Vec<Profile>, Status> {
    match Asked::by(call) {
        Asked::Alone => {
            let own = caller.user().get_profile(GetProfileRequest::default()).await?;
            Ok(vec![own.into_inner()])
        }
        Asked::AmongEverybodys => {
            let message = BatchGetProfilesRequest { user_ids: names.to_vec() };
            let found = caller.user().batch_get_profiles(message).await?;
            Ok(found.into_inner().profiles)
        }
        Asked::Watch => {
            let mut watch = watches(caller).await?;
            while let Some(told) = watch.message().await? {
                match told.event {
                    None => {}
                    Some(Event::Profile(own)) if own.user_id == caller.name => {}
                    Some(other) => return Err(Status::internal(format!("{other:?}"))),
                }
            }
            Err(Status::internal("a watch ended by itself"))
        }
    }
}

async fn watches(caller: &Person) -> Result<Streaming<WatchProfilesResponse>, Status> {
    let begun = caller.user().watch_profiles(WatchProfilesRequest::default()).await?;
    Ok(begun.into_inner())
}

/// Whether a busy server had no answer: 14, or its connection went. What it tells by itself comes from
/// nothing but its words.
fn is_sent_away(status: &Status) -> bool {
    is_unavailable(status) || fault::causes(status).next().is_some()
}

/// Whether an answer holds the profile of the person of this name, and no other.
fn is_own(answer: &Result<Vec<Profile>, Status>, name: &str) -> bool {
    matches!(answer.as_deref(), Ok([own]) if own.user_id == name && own.handle == name)
}

async fn all_are_counted(seen: &mut Seen, field: &Field, server: &Server) {
    let unfinished = async || unfinished(server).await == 0;
    let counted = until("all calls are counted", SOON, unfinished);
    let (took, late) = beside_a_timer(counted).await;
    let limit = field.pick(SOON, DROPPED_MAX + late);
    let ms = |span: Duration| span.as_secs_f64() * 1e3;
    let told = format!("the last counted after {:.0} ms, timers {:.0} late", ms(took), ms(late));
    seen.note(took <= limit, told);
}

/// What comes of `wait`, and how late a timer was meanwhile: a machine that is busy is late with all.
pub(super) async fn beside_a_timer<T>(wait: impl Future<Output = T>) -> (T, Duration) {
    let mut wait = pin!(wait);
    let mut late = Duration::ZERO;
    loop {
        let due = Instant::now() + TICK;
        match timeout_at(due, &mut wait).await {
            Ok(ended) => return (ended, late),
            Err(_elapsed) => late = late.max(due.elapsed()),
        }
    }
}

/// Calls that were begun and not counted as ended.
async fn unfinished(server: &Server) -> i64 {
    let url = format!("http://{}/metrics", server.internal);
    let answer = crate::person::http().get(url).send().await.expect("the internal port");
    let text = answer.text().await.expect("text");
    let sum = |name: &str| -> i64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok());
        values.sum()
    };
    sum("grpc_server_started_total") - sum("grpc_server_handled_total")
}
