//! A database that is not well, seen through every RPC: none answers with a bug, none takes longer
//! than its rule allows, and whoever may come back is told when.

use std::time::Duration;

use prost_reflect::DynamicMessage;
use proto::{Access, Kind, Method};
use tests::Proxy;
use tokio::{task::JoinSet, time::Instant};
use tonic::Code;

use super::{
    Table,
    ask::{self, Filling},
    guarded, methods,
    scene::{Scene, allowed, person},
};
use crate::wire::raw::Call;

/// A machine that is busy with other tests may hold an answer up.
const SLACK: Duration = Duration::from_secs(2);

/// How long a database that is back may be missed.
const AGAIN_MAX: Duration = Duration::from_secs(4);

/// An answer that waits for nobody, in the median.
const AT_ONCE: Duration = Duration::from_millis(100);

/// An RPC, and a call of it that its contract has nothing against.
struct Asked {
    method: &'static Method,
    message: DynamicMessage,
    name: String,
}

/// What an RPC has told, and how fast.
struct Told {
    method: &'static Method,
    code: Code,
    reason: String,
    took: Duration,
}

impl Asked {
    /// Of every RPC one, by somebody of its own: some end all sessions of their caller.
    async fn all(scene: &Scene) -> Vec<Self> {
        let mut asked = Vec::new();
        for (number, method) in methods().enumerate() {
            let (name, mender) = (format!("eve{number}"), format!("mender{number}"));
            let filling = Filling { ids: &[ask::OF_NOTHING.to_owned()], text: "x", name: &name };
            let mut message = ask::filled(&ask::request(method), &filling, 4);
            ask::ask_by(scene, method, &mut message, |call| allowed(call, method, &mender)).await;
            asked.push(Self { method, message, name });
        }
        asked
    }

    fn call(&self) -> Call {
        allowed(ask::call(self.method, &self.message), self.method, &self.name)
    }

    /// The same by somebody of whom nothing is known.
    fn by_a_stranger(&self) -> Self {
        let Self { method, message, name } = self;
        Self { method, message: message.clone(), name: format!("stranger-to-{name}") }
    }
}

/// Insists that everybody is let in who calls. It is known of them by then how they stand, and if the
/// database is not well, it has not been asked: what an RPC tells is what its handler ran into.
async fn are_let_in(scene: &Scene, asked: &[Asked]) {
    let who_am_i = methods().find(|method| method.name == "WhoAmI").unwrap();
    let message = DynamicMessage::new(ask::request(who_am_i));
    let people = asked
        .iter()
        .filter(|asked| matches!(asked.method.rule.access, Access::SignedIn | Access::Role { .. }));
    for Asked { method, name, .. } in people {
        let call = ask::call(who_am_i, &message).token(Some(&person(name)));
        let code = call.send(scene.app.address).await.grpc_status().code();
        assert_eq!(code, Code::Ok, "whoever calls {}", method.path);
    }
}

/// Calls every RPC at once.
async fn ask_all(scene: &Scene, asked: &[Asked]) -> Vec<Told> {
    let mut calls = JoinSet::new();
    for asked in asked {
        let (method, call, address) = (asked.method, asked.call(), scene.app.address);
        calls.spawn(async move {
            let start = Instant::now();
            let answer = call.send(address).await;
            let took = start.elapsed();
            let code = answer.grpc_status().code();
            if code == Code::Ok {
                return Told { method, code, reason: String::new(), took };
            }
            let told = answer.told();
            assert!(code != Code::Unavailable || told.retry_delay.is_some(), "{told:?}");
            Told { method, code, reason: told.reason, took }
        });
    }
    calls.join_all().await
}

/// Insists that every RPC ends as its contract says, in its time; how many told of the database.
#[track_caller]
fn judge(table: &mut Table, fault: &'static str, told: &[Told]) -> usize {
    let mut of_database = 0;
    for Told { method, code, reason, took } in told {
        let about = format!("{} {fault}: {code:?} {reason} after {took:?}", method.path);
        // A stream is listened to for less than its rule allows.
        let time_max = match method.kind {
            Kind::Unary => method.rule.deadline,
            _ => Duration::from_secs(1),
        };
        assert!(!matches!(code, Code::Unknown | Code::Internal | Code::Cancelled), "{about}");
        assert!(*took <= time_max + SLACK, "{about}");
        of_database += usize::from(matches!(reason.as_str(), "DB_UNAVAILABLE" | "POOL_EXHAUSTED"));
        table.note(method, fault, format!("{code:?} {reason} {} ms", took.as_millis()));
    }
    of_database
}

/// Insists that most handlers ran into the database: it told them so, or did not answer in their time.
#[track_caller]
fn ran_into_it(fault: &str, told: &[Told]) {
    let reasons = ["DB_UNAVAILABLE", "POOL_EXHAUSTED", "DEADLINE_EXCEEDED"];
    let ran = told.iter().filter(|told| reasons.contains(&&*told.reason)).count();
    assert!(ran * 3 > told.len() * 2, "{fault}: {ran} of {}", told.len());
}

/// Calls until no RPC tells of the database any more.
async fn serves_again(scene: &Scene, asked: &[Asked]) {
    let start = Instant::now();
    while judge(&mut Table::default(), "again", &ask_all(scene, asked).await) > 0 {
        assert!(start.elapsed() < AGAIN_MAX, "it is not found again");
    }
}

async fn scene() -> (Proxy, Scene, Vec<Asked>) {
    let proxy = Proxy::open();
    let scene = Scene::behind(&proxy).await;
    let asked = Asked::all(&scene).await;
    are_let_in(&scene, &asked).await;
    (proxy, scene, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_tells_of_a_database_that_is_down_at_once_and_serves_when_it_is_back() {
    let (proxy, scene, asked) = scene().await;
    let mut table = Table::default();
    proxy.close().await;
    ask_all(&scene, &asked).await;
    // One after the other: what is measured is no crowd.
    let mut told = Vec::new();
    for one in asked.chunks(1) {
        told.extend(ask_all(&scene, one).await);
    }
    are_let_in(&scene, &asked).await;
    let of_database = judge(&mut table, "down", &told);
    let strangers: Vec<_> = asked.iter().map(Asked::by_a_stranger).collect();
    let told_strangers = ask_all(&scene, &strangers).await;
    let of_strangers = judge(&mut table, "down, a caller not known", &told_strangers);
    table.print("the database is down, by RPC");
    assert!(of_database * 3 > asked.len() * 2, "{of_database} of {}", asked.len());
    assert!(of_strangers >= guarded().count(), "{of_strangers} of {}", guarded().count());
    let mut took: Vec<_> = told.iter().map(|told| told.took).collect();
    took.sort_unstable();
    assert!(took[took.len() / 2] < AT_ONCE, "{took:?}");

    proxy.reopen();
    serves_again(&scene, &asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_ends_in_its_time_when_the_database_is_silent() {
    let (proxy, scene, asked) = scene().await;
    let mut table = Table::default();
    proxy.stall();
    let first = ask_all(&scene, &asked).await;
    judge(&mut table, "silent", &first);
    ran_into_it("silent", &first);
    let of_database = judge(&mut table, "known to be silent", &ask_all(&scene, &asked).await);
    are_let_in(&scene, &asked).await;
    table.print("the database is silent, by RPC");
    assert!(of_database * 3 > asked.len() * 2, "{of_database} of {}", asked.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_ends_in_its_time_when_answers_take_two_seconds_more() {
    let (proxy, scene, asked) = scene().await;
    let mut table = Table::default();
    proxy.delay(Duration::from_secs(2));
    let told = ask_all(&scene, &asked).await;
    are_let_in(&scene, &asked).await;
    judge(&mut table, "slow", &told);
    ran_into_it("slow", &told);
    table.print("the database is slow, by RPC");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_ends_in_its_time_when_all_tables_are_locked() {
    let (_proxy, scene, asked) = scene().await;
    let mut table = Table::default();
    let mut owner = scene.app.owner().await;
    let lock = "do $$
        declare
            relation regclass;
        begin
            for relation in
                select oid from pg_class
                where relkind = 'r' and relnamespace::regnamespace::text like 'mayfly%'
            loop
                execute format('lock table %s in access exclusive mode', relation);
            end loop;
        end $$";
    let begin = sqlx::AssertSqlSafe(format!("begin; {lock}"));
    sqlx::raw_sql(begin).execute(&mut owner).await.unwrap();
    // More than the pools hold, and what waits in them.
    let (first, second) = tokio::join!(ask_all(&scene, &asked), ask_all(&scene, &asked));
    are_let_in(&scene, &asked).await;
    drop(owner);
    for (fault, told) in [("locked", first), ("locked, too", second)] {
        judge(&mut table, fault, &told);
        ran_into_it(fault, &told);
    }
    table.print("all tables are locked, by RPC");
    serves_again(&scene, &asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_is_served_while_its_backends_are_ended_again_and_again() {
    let (_proxy, scene, asked) = scene().await;
    let mut table = Table::default();
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and usename = 'mayfly_runtime'";
    let (mut ended, mut of_database) = (0, 0);
    for _ in 0..3 {
        let (count, told) = tokio::join!(scene.app.sql_count(terminate), ask_all(&scene, &asked));
        ended += count;
        of_database += judge(&mut table, "terminated", &told);
    }
    table.print("the database's backends are ended, by RPC");
    assert!(ended > 0, "nobody was connected");
    // By their own repeats. What writes outside of a transaction may not be repeated, and beside
    // other tests a connection may take longer than a call waits for one.
    assert!(of_database * 2 <= asked.len(), "{of_database} of three times {}", asked.len());
}
