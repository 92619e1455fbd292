//! Callers who change their mind, a crowd of them over connections they share: nothing of theirs is
//! left, and nobody is answered with what is another's.

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use proto::user::v1::{BatchGetProfilesRequest, GetProfileRequest, Profile};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tonic::Status;

use super::{
    Case, Field, Seen,
    field::{person, token},
    writers::{create, is_unavailable},
    writes::nothing_is_left,
};
use crate::{Person, Server, until};

pub(super) const CASES: &[Case] = &[Case {
    name: "calls that are cancelled at random moments",
    expected: "20 people, each answered with their own profile alone; every call counted as ended 50 ms after the last (and what timers are late); 500 ms later nothing left in Postgres, all of the pool given back",
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
    let server = field.server(&[("DB_WAIT_MS_MAX", "30000")]);
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
    seen.note(cancelled == each * CALLERS, told);
    let (count, some) = (others.len(), others.iter().take(3).collect::<Vec<_>>());
    let is_good = own > 0 && others.is_empty();
    seen.note(is_good, format!("{own} answers were the asker's, {count} were not {some:?}"));
    all_are_counted(&mut seen, field, &server).await;
    nothing_is_left(&mut seen, field, &server).await;
    serves_on(&mut seen, field, &person(&server, &names[0])).await;
    seen
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
            let is_patient = tally.calls.is_multiple_of(PATIENT);
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

/// Asks for one's own profile, by itself and among everybody's in turn.
async fn asks(caller: &Person, names: &Names, call: usize) -> Result<Vec<Profile>, Status> {
    // People and RPCs change at different paces, so that each asks both ways.
    if (call / CALLERS).is_multiple_of(2) {
        let own = caller.user().get_profile(GetProfileRequest::default()).await?;
        return Ok(vec![own.into_inner()]);
    }
    let message = BatchGetProfilesRequest { user_ids: names.to_vec() };
    let found = caller.user().batch_get_profiles(message).await?;
    Ok(found.into_inner().profiles)
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
async fn beside_a_timer<T>(wait: impl Future<Output = T>) -> (T, Duration) {
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
