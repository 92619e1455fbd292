//! `cargo run --release -p tests --bin forged_flood -- --rate 5000 --seconds 10`: forged tokens, each
//! another one, against the `user` function in a process of its own, and what its good callers see.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

use std::{process::ExitCode, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proto::user::v1::{GetProfileRequest, user_service_client::UserServiceClient};
use tests::{random::Server, world};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};

const HELP: &str = "\
Usage: forged_flood [OPTIONS]

  --rate N       forged tokens a second (5000)
  --seconds N    how long (10)";

/// Calls a second of those who are signed in: the neighbour of the guarantees.
const GOOD_RATE: u64 = 50;

/// Connections that forged tokens come over.
const CONNECTIONS: usize = 20;

/// How many forged calls are made together, so that a timer can keep the rate.
const TICK: Duration = Duration::from_millis(10);

/// How long anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the good callers saw.
struct Seen {
    sent: usize,
    good: usize,
    took: Vec<Duration>,
}

fn main() -> ExitCode {
    // The server is this program once more.
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return chassis::run("user", user::service);
    }
    let Some((rate, seconds)) = parse(std::env::args().skip(1)) else {
        eprintln!("{HELP}");
        return ExitCode::from(64);
    };
    let this = std::env::current_exe().expect("this program");
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let goodput = runtime.block_on(async {
        let server = Server::start(&this, &world().new_database().await);
        let long = Duration::from_secs(seconds);
        let quiet = good(&server, long).await;
        quiet.print("quiet");
        let memory = server.memory_mib();
        let (flooded, (sent, refused)) =
            tokio::join!(good(&server, long), flood(&server, rate, long));
        flooded.print("flooded");
        println!("forged   {sent} sent, {refused} refused with 16");
        println!("memory   {memory:?} MiB before, {:?} MiB after", server.memory_mib());
        flooded.goodput()
    });
    if goodput >= 0.99 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<(u64, u64)> {
    let (mut rate, mut seconds) = (5000, 10);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?.parse().ok()?;
        match name.as_str() {
            "--rate" => rate = value,
            "--seconds" => seconds = value,
            _ => return None,
        }
    }
    Some((rate, seconds))
}

async fn connect(server: &Server) -> UserServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).expect("a URL");
    UserServiceClient::new(endpoint.connect().await.expect("a connection"))
}

fn bearing(token: &str) -> Request<GetProfileRequest> {
    let mut request = Request::new(GetProfileRequest::default());
    let bearer = format!("Bearer {token}").parse().expect("a token is ASCII");
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// Persons who call at their rate, every second time with a token that was never seen.
async fn good(server: &Server, long: Duration) -> Seen {
    let client = connect(server).await;
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(GOOD_RATE).expect("a rate"));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (start, mut calls, mut sent) = (Instant::now(), JoinSet::new(), 0);
    while start.elapsed() < long {
        ticks.tick().await;
        let name = if sent % 2 == 0 { "ada".to_owned() } else { format!("person-{sent}") };
        let token = world().issuer.id_token(&name, &serde_json::Map::new());
        let mut client = client.clone();
        sent += 1;
        calls.spawn(async move {
            let start = Instant::now();
            let answer = timeout(PATIENCE, client.get_profile(bearing(&token))).await;
            // Nobody has a profile: whoever is told so was let in.
            let is_good = matches!(answer, Ok(Err(status)) if status.code() == Code::NotFound);
            (is_good, start.elapsed())
        });
    }
    let ended = calls.join_all().await;
    let took = ended.iter().filter(|(is_good, _)| *is_good).map(|(_, took)| *took);
    let mut took: Vec<_> = took.collect();
    took.sort_unstable();
    Seen { sent, good: took.len(), took }
}

/// Forged tokens at their rate: how many, and how many of them were refused as such.
async fn flood(server: &Server, rate: u64, long: Duration) -> (u64, u64) {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(connect(server).await);
    }
    let good = world().issuer.id_token("eve", &serde_json::Map::new());
    let (message, _signature) = good.rsplit_once('.').expect("three segments");
    let together = rate * u64::try_from(TICK.as_millis()).expect("few") / 1000;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (start, mut calls, mut sent, mut refused) = (Instant::now(), JoinSet::new(), 0, 0);
    while start.elapsed() < long {
        ticks.tick().await;
        for _ in 0..together {
            // 256 bytes that nobody has seen before, and that are no signature.
            let mut signature = [0x5a_u8; 256];
            signature[..8].copy_from_slice(&u64::to_le_bytes(sent));
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
            let mut client = clients[usize::try_from(sent).unwrap_or(0) % CONNECTIONS].clone();
            sent += 1;
            calls.spawn(async move {
                let answer = timeout(PATIENCE, client.get_profile(bearing(&token))).await;
                match answer {
                    Ok(Ok(_)) => panic!("a forged token was taken"),
                    Ok(Err(status)) => {
                        assert_ne!(status.code(), Code::NotFound, "a forged token was taken");
                        status.code() == Code::Unauthenticated
                    }
                    Err(_elapsed) => false,
                }
            });
        }
        while let Some(ended) = calls.try_join_next() {
            refused += u64::from(ended.expect("no forged token is taken"));
        }
    }
    while let Some(ended) = calls.join_next().await {
        refused += u64::from(ended.expect("no forged token is taken"));
    }
    (sent, refused)
}

impl Seen {
    #[expect(clippy::cast_precision_loss, reason = "a share is rounded anyway")]
    fn goodput(&self) -> f64 {
        self.good as f64 / self.sent.max(1) as f64
    }

    fn print(&self, when: &str) {
        let at = |share: usize| self.took.get(self.took.len() * share / 100).copied();
        println!(
            "{when:<8} {} of {} good calls ({:.2} %), p50 {:?}, p99 {:?}",
            self.good,
            self.sent,
            self.goodput() * 100.0,
            at(50).unwrap_or_default(),
            at(99).unwrap_or_default(),
        );
    }
}
