//! Forged tokens, each another one, against the `user` function in a process of its own, and what its
//! good callers see meanwhile.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proto::user::v1::{GetProfileRequest, user_service_client::UserServiceClient};
use serde_json::Map;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};

use crate::{Server, world};

/// Calls a second of those who are signed in, and must notice nothing.
const GOOD_RATE: u64 = 50;

/// Connections that forged tokens come over.
const CONNECTIONS: usize = 20;

/// How many forged calls are made together, so that a timer can keep the rate.
const TICK: Duration = Duration::from_millis(10);

/// How long a good caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a forged token waits: longer than its rule allows, as a connection whose callers leave is
/// sent away.
const FORGED_PATIENCE: Duration = Duration::from_secs(10);

/// What the good callers saw.
#[derive(Debug)]
pub struct Seen {
    sent: usize,
    good: usize,
    took: Vec<Duration>,
}

/// What became of forged tokens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Forged {
    /// How many were sent.
    pub sent: u64,
    /// How long sending them took.
    pub took: Duration,
    /// How many of them were refused as such, with 16.
    pub refused: u64,
    /// How many were answered otherwise, and not for want of time: none was taken.
    pub otherwise: u64,
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

/// Has persons call at their rate, every second time with a token that was never seen.
pub async fn good(server: &Server, long: Duration) -> Seen {
    let client = connect(server).await;
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(GOOD_RATE).expect("a rate"));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (start, mut calls, mut sent) = (Instant::now(), JoinSet::new(), 0);
    while start.elapsed() < long {
        ticks.tick().await;
        let name = if sent % 2 == 0 { "ada".to_owned() } else { format!("person-{sent}") };
        let token = world().issuer.id_token(&name, &Map::new());
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

/// Sends so many forged tokens a second. Panics if one of them is taken.
pub async fn forged(server: &Server, rate: u64, long: Duration) -> Forged {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(connect(server).await);
    }
    let forger = Forger::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (start, mut calls, mut sent) = (Instant::now(), JoinSet::new(), 0);
    let mut codes = Vec::new();
    while start.elapsed() < long {
        ticks.tick().await;
        while sent < due(rate, start.elapsed().min(long)) {
            let client = clients[usize::try_from(sent).unwrap_or(0) % CONNECTIONS].clone();
            calls.spawn(refusal(client, forger.token(sent)));
            sent += 1;
        }
        while let Some(ended) = calls.try_join_next() {
            codes.extend(ended.expect("no forged token is taken"));
        }
    }
    let took = start.elapsed();
    codes.extend(calls.join_all().await.into_iter().flatten());
    let count = |is: fn(&Code) -> bool| {
        u64::try_from(codes.iter().filter(|code| is(code)).count()).unwrap_or(u64::MAX)
    };
    let refused = count(|code| *code == Code::Unauthenticated);
    Forged { sent, took, refused, otherwise: count(|_code| true) - refused }
}

/// How many have to be sent by then.
fn due(rate: u64, elapsed: Duration) -> u64 {
    let due = u128::from(rate) * elapsed.as_micros() / 1_000_000;
    u64::try_from(due).unwrap_or(u64::MAX)
}

/// Makes tokens that nobody has seen before: each says something else, and is signed by nobody.
struct Forger {
    header: String,
    /// What all of them say, up to the brace that ends it.
    claims: String,
}

impl Forger {
    /// All but one claim and the signature are as in a good one.
    fn new() -> Self {
        let good = world().issuer.id_token("eve", &Map::new());
        let mut parts = good.split('.');
        let header = parts.next().expect("a header").to_owned();
        let claims = URL_SAFE_NO_PAD.decode(parts.next().expect("claims")).expect("base64");
        let claims = String::from_utf8(claims).expect("JSON");
        let claims = claims.strip_suffix('}').expect("an object").to_owned();
        Self { header, claims }
    }

    fn token(&self, number: u64) -> String {
        let claims = URL_SAFE_NO_PAD.encode(format!("{},\"jti\":\"{number}\"}}", self.claims));
        let mut signature = [0x5a_u8; 256];
        signature[..8].copy_from_slice(&u64::to_le_bytes(number));
        format!("{}.{claims}.{}", self.header, URL_SAFE_NO_PAD.encode(signature))
    }
}

/// How a forged token is refused, if it is answered in time.
async fn refusal(mut client: UserServiceClient<Channel>, token: String) -> Option<Code> {
    match timeout(FORGED_PATIENCE, client.get_profile(bearing(&token))).await {
        Ok(Ok(_)) => panic!("a forged token was taken"),
        Ok(Err(status)) => {
            let code = status.code();
            assert_ne!(code, Code::NotFound, "a forged token was taken");
            // It waits as long as its rule allows, and may be told so first.
            (!matches!(code, Code::DeadlineExceeded | Code::Unavailable)).then_some(code)
        }
        Err(_elapsed) => None,
    }
}

impl Forged {
    /// How many were sent a second.
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded anyway")]
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.took.as_secs_f64()
    }
}

impl Seen {
    /// The share of calls that were served.
    #[expect(clippy::cast_precision_loss, reason = "a share is rounded anyway")]
    pub fn goodput(&self) -> f64 {
        self.good as f64 / self.sent.max(1) as f64
    }

    /// Within what so many of a hundred were served.
    pub fn within(&self, percent: usize) -> Duration {
        self.took.get(self.took.len() * percent / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} good calls ({:.2} %), p50 {:?}, p99 {:?}",
            self.good,
            self.sent,
            self.goodput() * 100.0,
            self.within(50),
            self.within(99),
        )
    }
}
