//! A network between a server and its Postgres, or whatever else it asks, which a test can break.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

use crate::world::world;

/// A TCP port that leads to the Postgres of the tests or elsewhere, for as long as this is kept.
#[derive(Debug)]
pub struct Proxy {
    /// Where it is.
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    upstream: Arc<Mutex<Upstream>>,
    commits: Arc<Commits>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    /// Has the port while nobody listens there, so that it refuses connections.
    _port: TcpSocket,
}

/// What becomes of connections.
#[derive(Clone, Copy, Debug)]
struct Way {
    is_listening: bool,
    /// By how much answers come later.
    delay: Duration,
    passes: Passes,
    made: u64,
    /// Connections up to this one have ended.
    cut_up_to: u64,
    /// Connections up to this one are never heard of again.
    lost_up_to: u64,
}

/// What gets through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Passes {
    Everything,
    Questions,
    Nothing,
}

/// What becomes of the answer to a commit that Postgres was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// The connection ends instead.
    Cut,
    /// Nothing comes, and nobody is told.
    Silence,
}

/// The commits that go through.
#[derive(Debug, Default)]
struct Commits {
    /// What becomes of the next.
    next: Mutex<Option<Fate>>,
    /// How many have met a fate.
    struck: AtomicU64,
}

/// Postgres itself.
#[derive(Clone, Debug)]
enum Upstream {
    Socket(PathBuf),
    Port(String, u16),
}

impl Proxy {
    /// An open way to the Postgres of the tests.
    pub fn open() -> Self {
        Self::closed().opened()
    }

    /// An open way to whoever listens at `address`.
    pub fn to(address: SocketAddr) -> Self {
        Self::closed_to(Upstream::Port(address.ip().to_string(), address.port())).opened()
    }

    /// An open way to the Postgres at `url`.
    pub fn to_postgres(url: &str) -> Self {
        Self::closed_to(Upstream::of(url)).opened()
    }

    /// Leads new connections to another Postgres; those there are stay where they are.
    pub fn lead_to(&self, url: &str) {
        *self.upstream.lock().unwrap_or_else(PoisonError::into_inner) = Upstream::of(url);
    }

    /// A port that refuses connections, until [`Proxy::reopen`].
    pub fn closed() -> Self {
        Self::closed_to(Upstream::of(&world().owner_url("postgres")))
    }

    fn opened(self) -> Self {
        self.reopen();
        self
    }

    fn closed_to(upstream: Upstream) -> Self {
        let port = bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let address = port.local_addr().expect("an address");
        let passes = Passes::Everything;
        let (delay, is_listening) = (Duration::ZERO, false);
        let way = Way { is_listening, delay, passes, made: 0, cut_up_to: 0, lost_up_to: 0 };
        let (way, _) = watch::channel(way);
        let upstream = Arc::new(Mutex::new(upstream));
        let (commits, accepting) = (Arc::default(), Mutex::default());
        Self { address, way, upstream, commits, accepting, _port: port }
    }

    /// Where the functions reach `database` through it, under the role they run with.
    pub fn url(&self, database: &str) -> String {
        let role = platform::database::RUNTIME_ROLE;
        format!("postgres://{role}@{}/{database}?sslmode=disable", self.address)
    }

    /// Refuses connections and ends those there are, as a server that has gone does.
    pub async fn close(&self) {
        self.way.send_modify(|way| way.is_listening = false);
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accepting) = accepting {
            accepting.await.expect("it ends by itself");
        }
        self.cut();
    }

    /// Takes connections again, and lets everything through.
    pub fn reopen(&self) {
        let was_listening = self.way.borrow().is_listening;
        self.way.send_modify(|way| (way.is_listening, way.passes) = (true, Passes::Everything));
        if was_listening {
            return;
        }
        let listener = bind(self.address).and_then(|socket| socket.listen(64)).expect("our port");
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        let accepting = tokio::spawn(accept(
            listener,
            self.way.clone(),
            Arc::clone(&self.upstream),
            Arc::clone(&self.commits),
        ));
        *self.accepting.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepting);
    }

    /// Ends the connections there are.
    pub fn cut(&self) {
        self.way.send_modify(|way| way.cut_up_to = way.made);
    }

    /// Takes connections and bytes, and forwards nothing.
    pub fn stall(&self) {
        self.way.send_modify(|way| way.passes = Passes::Nothing);
    }

    /// Forwards what is asked, and keeps the answers.
    pub fn keep_answers(&self) {
        self.way.send_modify(|way| way.passes = Passes::Questions);
    }

    /// Forgets the connections there are, as a network does that tells nobody. New ones work.
    pub fn lose(&self) {
        self.way.send_modify(|way| way.lost_up_to = way.made);
    }

    /// Has answers come later by this much.
    pub fn delay(&self, by: Duration) {
        self.way.send_modify(|way| way.delay = by);
    }

    /// Has the next commit asked for, and its answer not come back.
    pub fn strike_next_commit(&self, fate: Fate) {
        *self.commits.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(fate);
    }

    /// How many commits were struck so far.
    pub fn struck(&self) -> u64 {
        self.commits.struck.load(Ordering::Relaxed)
    }

    /// How many connections were made so far.
    pub fn made(&self) -> u64 {
        self.way.borrow().made
    }
}

impl Drop for Proxy {
    /// What was lost is held no longer: a backend that waits to tell a client something would hold up
    /// whoever drops a database.
    fn drop(&mut self) {
        self.way.send_modify(|way| (way.is_listening, way.cut_up_to) = (false, way.made));
    }
}

impl Upstream {
    fn of(url: &str) -> Self {
        let options = schema::options(url).expect("a URL of Postgres");
        let port = options.get_port();
        match options.get_socket() {
            Some(dir) => Self::Socket(dir.join(format!(".s.PGSQL.{port}"))),
            None => Self::Port(options.get_host().to_owned(), port),
        }
    }
}

/// A socket that has the port. It refuses connections until somebody listens.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Takes connections until nobody is to listen.
async fn accept(
    listener: TcpListener,
    way: watch::Sender<Way>,
    upstream: Arc<Mutex<Upstream>>,
    commits: Arc<Commits>,
) {
    let mut ways = way.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _closed = ways.wait_for(|way| !way.is_listening) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _peer)) = accepted else {
            continue;
        };
        way.send_modify(|way| way.made += 1);
        let number = way.borrow().made;
        let (mut cut, ways) = (way.subscribe(), way.subscribe());
        let upstream = upstream.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let line = Line { number, ways, commits: Arc::clone(&commits), fate: Arc::default() };
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        tokio::spawn(async move {
            tokio::select! {
                _cut = cut.wait_for(|way| way.cut_up_to >= number) => {}
                _outcome = line.forward(stream, &upstream) => {}
            }
        });
    }
}

/// One connection, and what has become of its answers.
#[derive(Clone)]
struct Line {
    number: u64,
    ways: watch::Receiver<Way>,
    commits: Arc<Commits>,
    fate: Arc<Mutex<Option<Fate>>>,
}

/// Where bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Direction {
    There,
    Back,
}

impl Line {
    async fn forward(self, client: TcpStream, upstream: &Upstream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        if !self.clone().gets_through(Direction::There).await {
            return Ok(());
        }
        match upstream {
            Upstream::Socket(path) => {
                let (from_server, to_server) = UnixStream::connect(path).await?.into_split();
                tokio::try_join!(
                    self.clone().pump(from_client, to_server, Direction::There),
                    self.pump(from_server, to_client, Direction::Back),
                )?;
            }
            Upstream::Port(host, port) => {
                let server = TcpStream::connect((host.as_str(), *port)).await?;
                let (from_server, to_server) = server.into_split();
                tokio::try_join!(
                    self.clone().pump(from_client, to_server, Direction::There),
                    self.pump(from_server, to_client, Direction::Back),
                )?;
            }
        }
        Ok(())
    }

    /// Hands on bytes, and the end of them, whenever they get through.
    async fn pump(
        mut self,
        mut from: impl AsyncRead + Unpin + Send,
        mut to: impl AsyncWrite + Unpin + Send,
        direction: Direction,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let length = from.read(&mut buffer).await?;
            if !self.gets_through(direction).await {
                return Ok(());
            }
            let bytes = match buffer.get(..length) {
                None | Some([]) => return to.shutdown().await,
                Some(bytes) => bytes,
            };
            match direction {
                Direction::There => self.meets_fate(bytes),
                Direction::Back => match self.fate() {
                    None => {
                        let delay = self.ways.borrow().delay;
                        sleep(delay).await;
                    }
                    Some(Fate::Cut) => return Err(io::ErrorKind::ConnectionReset.into()),
                    Some(Fate::Silence) => continue,
                },
            }
            to.write_all(bytes).await?;
        }
    }

    /// Waits until bytes get through; false if nobody is there to wait for.
    async fn gets_through(&mut self, direction: Direction) -> bool {
        let number = self.number;
        let is_open = |way: &Way| {
            let passes = match direction {
                Direction::There => way.passes != Passes::Nothing,
                Direction::Back => way.passes == Passes::Everything,
            };
            passes && way.lost_up_to < number
        };
        self.ways.wait_for(is_open).await.is_ok()
    }

    /// Looks whether this asks for the commit that is waited for.
    fn meets_fate(&self, bytes: &[u8]) {
        const COMMIT: &[u8] = b"-- database.commit:";
        if !bytes.windows(COMMIT.len()).any(|window| window == COMMIT) {
            return;
        }
        let next = self.commits.next.lock().unwrap_or_else(PoisonError::into_inner).take();
        if next.is_some() {
            *self.fate.lock().unwrap_or_else(PoisonError::into_inner) = next;
            self.commits.struck.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn fate(&self) -> Option<Fate> {
        *self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
