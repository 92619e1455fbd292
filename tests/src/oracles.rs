//! Questions to `auth` that are asked in two ways, of which an observer must not know one from the
//! other: by the answer, or by how long it takes.

use std::{
    future::Future,
    net::Ipv4Addr,
    ops::RangeInclusive,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use proto::auth::v1::{
    CreateApiClientRequest, ExchangeApiKeyRequest, RefreshTokenRequest, RegisterRequest,
    SendPasswordResetRequest, SignInRequest,
};
use serde_json::{Map, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::{Request, Status};

use crate::{App, AppBuilder, Told, keyed, told, world};

/// How large the share of pairs in which one way takes longer is where neither tells: of fifty, almost
/// three standard deviations about the half.
const EVEN: RangeInclusive<f64> = 0.3..=0.7;

/// How long each lane begins after the one before, so that none is in the way of the others.
const LANES_APART: Duration = Duration::from_millis(50);

/// How far the medians of the two ways may be apart.
pub const APART_MAX: Duration = Duration::from_millis(5);

const PASSWORD: &str = "correct horse";

/// How often one account is tried: less than what has to wait.
const TRIES_PER_ACCOUNT: usize = 3;

/// A question that is asked in two ways.
#[derive(Clone, Copy, Debug)]
pub struct Oracle {
    /// The RPC, and the two ways.
    pub name: &'static str,
    /// How many are asked at a time: more than one where answers are given at even times.
    lanes: usize,
    /// The reason that each way is told, or nothing where all is well. Whoever is told that they asked
    /// wrongly, or too often, has found out nothing, and in no time.
    told: [&'static str; 2],
    prepare: fn(&App, usize) -> Ready<'_>,
    ask: for<'a> fn(&'a App, Way, &'a str) -> Answer<'a>,
}

/// One of the two ways.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    /// There is somebody.
    Known,
    /// There is nobody.
    Unknown,
}

/// Names for so many calls of the first way.
type Ready<'a> = Pin<Box<dyn Future<Output = Vec<String>> + Send + 'a>>;

/// What is told: nothing, where it went well.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), Status>> + Send + 'a>>;

/// How long the two ways took.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    /// The median where there is somebody.
    pub known: Duration,
    /// The median where there is nobody.
    pub unknown: Duration,
    /// The share of the pairs in which the first way took longer.
    pub longer: f64,
}

/// All of them.
pub const ORACLES: [Oracle; 6] = [
    Oracle {
        name: "SignIn: a wrong password, or an unknown account",
        lanes: 10,
        told: ["CREDENTIALS_INVALID"; 2],
        prepare: |_app, calls| accounts(calls),
        ask: |app, way, name| {
            let email = email(way, name);
            let (password, device_name) = ("wrong".to_owned(), String::new());
            let message = SignInRequest { email, password, device_name };
            Box::pin(async { stranger(app).sign_in(from_anew(message)).await.map(drop) })
        },
    },
    Oracle {
        // Firebase does not know of it, and signs them in.
        name: "SignIn: the right password of somebody disabled here, or an unknown account",
        lanes: 10,
        told: ["CREDENTIALS_INVALID"; 2],
        prepare: disabled_here,
        ask: |app, way, name| {
            let email = email(way, name);
            let (password, device_name) = (PASSWORD.to_owned(), String::new());
            let message = SignInRequest { email, password, device_name };
            Box::pin(async { stranger(app).sign_in(from_anew(message)).await.map(drop) })
        },
    },
    Oracle {
        name: "SendPasswordReset: a known address, or an unknown one",
        lanes: 25,
        told: [""; 2],
        prepare: |_app, calls| accounts(calls),
        ask: |app, way, name| {
            let message = SendPasswordResetRequest { email: email(way, name) };
            Box::pin(async {
                stranger(app).send_password_reset(from_anew(message)).await.map(drop)
            })
        },
    },
    Oracle {
        name: "Register: an address that is taken, or a free one",
        lanes: 25,
        told: [""; 2],
        prepare: |_app, calls| accounts(calls),
        ask: |app, way, name| {
            let message =
                RegisterRequest { email: email(way, name), password: PASSWORD.to_owned() };
            Box::pin(async { stranger(app).register(from_anew(message)).await.map(drop) })
        },
    },
    Oracle {
        // Whoever holds a refresh token is told what became of it, so the answers differ.
        name: "RefreshToken: of a disabled account, or of nobody's",
        lanes: 1,
        told: ["TOKEN_REVOKED", "TOKEN_INVALID"],
        prepare: |_app, _calls| Box::pin(async { vec![refresh_token_of_disabled()] }),
        ask: |app, way, name| {
            let token = if way == Way::Known { name.to_owned() } else { format!("{name}x") };
            let message = RefreshTokenRequest { refresh_token: token };
            Box::pin(async { stranger(app).refresh_token(from_anew(message)).await.map(drop) })
        },
    },
    Oracle {
        name: "ExchangeApiKey: a wrong secret, or an unknown client",
        lanes: 1,
        told: ["CREDENTIALS_INVALID"; 2],
        prepare: |app, _calls| api_client(app),
        ask: |app, way, name| {
            let unknown = || uuid::Uuid::new_v4().to_string();
            let id = if way == Way::Known { name.to_owned() } else { unknown() };
            let secret = "mfs_wrong".to_owned();
            let message = ExchangeApiKeyRequest { api_client_id: id, client_secret: secret };
            Box::pin(async { stranger(app).exchange_api_key(from_anew(message)).await.map(drop) })
        },
    },
];

impl Oracle {
    /// Asks so often in each way, in turn, and panics where the answers differ.
    pub async fn compare(&'static self, app: &'static App, calls: usize) -> Compared {
        let names: &'static [String] = (self.prepare)(app, calls).await.leak();
        let mut lanes = JoinSet::new();
        for lane in 0..self.lanes {
            let after = u32::try_from(lane).expect("a few lanes") * LANES_APART;
            lanes.spawn(async move {
                sleep(after).await;
                let mut took = Vec::new();
                for call in (lane..calls).step_by(self.lanes) {
                    let name = &names[call % names.len()];
                    took.push(self.pair(app, call, name).await);
                }
                took
            });
        }
        Compared::of(&lanes.join_all().await.concat())
    }

    /// Asks once in each way, in the one order or the other.
    async fn pair(&self, app: &App, call: usize, name: &str) -> [Duration; 2] {
        let mut took = [Duration::ZERO; 2];
        let mut said: [Option<Told>; 2] = [None, None];
        let ways = if call.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        for place in ways {
            let way = if place == 0 { Way::Known } else { Way::Unknown };
            let start = Instant::now();
            let outcome = (self.ask)(app, way, name).await;
            took[place] = start.elapsed();
            said[place] = outcome.err().map(|status| told(&status));
        }
        let reasons = said.each_ref().map(|told| told.as_ref().map_or("", |told| &*told.reason));
        assert_eq!(reasons, self.told, "{}", self.name);
        if self.told[0] == self.told[1] {
            assert_eq!(said[0], said[1], "{}", self.name);
        }
        let [known, unknown] = said.map(|told| told.map(|told| told.code));
        assert_eq!(known, unknown, "{}", self.name);
        took
    }
}

impl Compared {
    #[expect(clippy::cast_precision_loss, reason = "a share is rounded anyway")]
    fn of(took: &[[Duration; 2]]) -> Self {
        let longer = took.iter().filter(|[known, unknown]| known > unknown).count();
        let longer = longer as f64 / took.len() as f64;
        let way = |way: usize| median(took.iter().map(|took| took[way]).collect());
        Self { known: way(0), unknown: way(1), longer }
    }

    /// How far the medians are apart.
    pub fn apart(&self) -> Duration {
        self.known.abs_diff(self.unknown)
    }

    /// Whether neither way is told by its time, on a machine that is busy with other things: then
    /// medians are apart by chance, and which of a pair takes longer is chance as well.
    pub fn is_even(&self) -> bool {
        self.apart() < APART_MAX || EVEN.contains(&self.longer)
    }
}

/// An app for them, which takes a proxy's word on where a call comes from.
pub async fn app(builder: AppBuilder) -> &'static App {
    let app = builder.with("TRUSTED_PROXY", "fly").start().await;
    Box::leak(Box::new(app))
}

type AuthClient = proto::auth::v1::auth_service_client::AuthServiceClient<
    tonic::service::interceptor::InterceptedService<
        tonic::transport::Channel,
        crate::person::SignedIn,
    >,
>;

fn stranger(app: &App) -> AuthClient {
    app.stranger(None).auth()
}

/// A request that comes from where none has come from, so that nobody has to wait.
fn from_anew<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let address = Ipv4Addr::from_bits(0x0a00_0000 + fresh()).to_string();
    let address = address.parse().expect("an address is ASCII");
    request.metadata_mut().insert("fly-client-ip", address);
    request
}

/// A number that nobody has had.
fn fresh() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// An address of this name, which has an account or none.
fn email(way: Way, name: &str) -> String {
    match way {
        Way::Known => name.to_owned(),
        Way::Unknown => format!("nobody-{}@example.com", fresh()),
    }
}

/// So many accounts that each is tried a few times: their addresses.
fn accounts<'a>(calls: usize) -> Ready<'a> {
    Box::pin(async move { people(calls).await.into_iter().map(|(email, _)| email).collect() })
}

/// The same, of people who are disabled here and nowhere else.
fn disabled_here(app: &App, calls: usize) -> Ready<'_> {
    Box::pin(async move {
        let people = people(calls).await;
        let rows: Vec<_> = people.iter().map(|(_, id)| format!("('{id}', true)")).collect();
        let statement = "insert into mayfly.revocation (user_id, is_disabled) values";
        app.sql(&format!("{statement} {}", rows.join(", "))).await;
        people.into_iter().map(|(email, _)| email).collect()
    })
}

/// Address and uid of each.
async fn people(calls: usize) -> Vec<(String, String)> {
    let make = move || {
        let emails = (0..calls.div_ceil(TRIES_PER_ACCOUNT))
            .map(|_| format!("somebody-{}@example.com", fresh()));
        let made = emails.map(|email| {
            let session = world().issuer.sign_up(&email, PASSWORD).expect("an account");
            (email, session.user_id)
        });
        made.collect()
    };
    tokio::task::spawn_blocking(make).await.expect("accounts")
}

fn refresh_token_of_disabled() -> String {
    let email = format!("disabled-{}@example.com", fresh());
    let session = world().issuer.sign_up(&email, PASSWORD).expect("an account");
    world().issuer.disable(&session.user_id).expect("an account");
    session.refresh_token
}

fn api_client(app: &App) -> Ready<'_> {
    Box::pin(async move {
        let claims = Map::from_iter([("roles".to_owned(), json!(["admin"]))]);
        let admin = app.stranger(Some(&world().issuer.id_token("an-admin", &claims)));
        let display_name = "Billing".to_owned();
        let request = keyed(CreateApiClientRequest { display_name, scopes: Vec::new() });
        let made = admin.auth().create_api_client(request).await.expect("a client");
        vec![made.into_inner().api_client.expect("a client").api_client_id]
    })
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}
