//! Server processes that are ended while they greet whoever connects: the server itself is there.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use database::Standing;
use futures_util::future::join_all;
use platform::database::RUNTIME_ROLE;
use tests::{Proxy, until, world};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{Bench, Database, PATIENT, SOON, run};

/// How the process behind a new connection ends.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// Before it says a word.
    Silently,
    /// By its administrator's command, of which it tells.
    Told,
    /// Greeting, and then by a word that its client does not get to read.
    Greeting,
}

/// A way to the Postgres of the tests, some of whose processes are ended at once.
struct Doomed {
    address: SocketAddr,
    /// How those of the next connections end; the ones after them live.
    next: Arc<Mutex<VecDeque<Ends>>>,
    _accepting: JoinSet<()>,
    _proxy: Proxy,
}

/// That the client is who it says, and that it may ask.
const GREETING: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

impl Doomed {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (proxy, next) = (Proxy::open(), Arc::new(Mutex::new(VecDeque::new())));
        let (way, ends) = (proxy.address, Arc::clone(&next));
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _peer) = listener.accept().await.unwrap();
                let ends = ends.lock().unwrap().pop_front();
                // Whoever breaks off has seen what it was to see.
                connections
                    .spawn(async move { serve(client, ends, way).await.unwrap_or_default() });
            }
        });
        Self { address, next, _accepting: accepting, _proxy: proxy }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{RUNTIME_ROLE}@{}/{database}?sslmode=disable", self.address)
    }
}

async fn serve(mut client: TcpStream, ends: Option<Ends>, way: SocketAddr) -> io::Result<()> {
    let Some(ends) = ends else {
        let mut server = TcpStream::connect(way).await?;
        return copy_bidirectional(&mut client, &mut server).await.map(drop);
    };
    let mut heard = [0; 4096];
    let _startup = client.read(&mut heard).await?;
    match ends {
        Ends::Silently => {}
        Ends::Told => client.write_all(&farewell()).await?,
        Ends::Greeting => {
            client.write_all(GREETING).await?;
            let _question = client.read(&mut heard).await?;
        }
    }
    Ok(())
}

/// What Postgres says as it ends a process by its administrator's command.
fn farewell() -> Vec<u8> {
    let fields =
        b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0";
    let length = u32::try_from(fields.len() + 4).unwrap();
    [b"E", &length.to_be_bytes()[..], fields].concat()
}

/// A pool with one connection, which is idle, and that what becomes of the next ones is not to cost.
async fn bench_behind(server: &Doomed) -> Bench {
    let database = Database(world().new_database().await);
    let url = server.url(&database.0);
    let bench = Bench::on(database, &[("DATABASE_URL", &url), PATIENT]);
    run(&bench.pool, "select 1").await.unwrap();
    bench
}

#[tokio::test]
async fn processes_that_are_ended_as_they_greet_cost_no_call_and_no_other_connection() {
    use Ends::{Greeting, Silently, Told};
    let server = Doomed::start().await;
    let rows: [&[Ends]; 5] = [
        &[Told, Silently],
        &[Told, Greeting],
        &[Greeting, Greeting, Greeting],
        &[Silently, Told, Silently, Greeting],
        // More often than one connect is tried.
        &[Told, Greeting, Told, Greeting, Told, Greeting, Told],
    ];
    for ends in rows {
        let bench = bench_behind(&server).await;
        server.next.lock().unwrap().extend(ends);
        // One has the connection there is.
        let two = (0..2).map(|_| run(&bench.pool, "select pg_sleep(0.2)"));
        for outcome in join_all(two).await {
            outcome.unwrap_or_else(|error| panic!("{ends:?}: {error:?}"));
        }
        let state = bench.pool.state();
        assert_eq!((state.standing, state.idle), (Standing::Up, 2), "{ends:?}");
        assert!(server.next.lock().unwrap().is_empty(), "{ends:?}");
    }
}

#[tokio::test]
async fn a_server_that_breaks_off_twice_before_it_says_a_word_is_down() {
    let server = Doomed::start().await;
    let bench = bench_behind(&server).await;
    server.next.lock().unwrap().extend([Ends::Silently; 2]);
    let two = (0..2).map(|_| run(&bench.pool, "select pg_sleep(0.2)"));
    let outcomes = join_all(two).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1, "{outcomes:?}");
    until("it is found again", SOON, async || run(&bench.pool, "select 1").await.is_ok()).await;
    until("it is up", SOON, async || bench.pool.state().standing == Standing::Up).await;
}
