//! A network between a server and its Postgres, or whatever else it asks, which a test can break.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

use crate::world::world;

/// A TCP port that leads to the Postgres of the tests or elsewhere, for as long as the test's runtime
/// runs.
#[derive(Debug)]
pub struct Proxy {
    /// Where it is.
    pub address: SocketAddr,
    upstream: Upstream,
    way: watch::Sender<Way>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    /// Has the port while nobody listens there, so that it refuses connections.
    _port: TcpSocket,
}

/// What becomes of connections.
#[derive(Clone, Copy, Debug)]
struct Way {
    is_listening: bool,
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

    /// A port that refuses connections, until [`Proxy::reopen`].
    pub fn closed() -> Self {
        Self::closed_to(Upstream::of_world())
    }

    fn opened(self) -> Self {
        self.reopen();
        self
    }

    fn closed_to(upstream: Upstream) -> Self {
        let port = bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let address = port.local_addr().expect("an address");
        let passes = Passes::Everything;
        let way = Way { is_listening: false, passes, made: 0, cut_up_to: 0, lost_up_to: 0 };
        let (way, _) = watch::channel(way);
        Self { address, upstream, way, accepting: Mutex::default(), _port: port }
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
        let accepting = tokio::spawn(accept(listener, self.way.clone(), self.upstream.clone()));
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

    /// How many connections were made so far.
    pub fn made(&self) -> u64 {
        self.way.borrow().made
    }
}

impl Upstream {
    fn of_world() -> Self {
        let options = schema::options(&world().owner_url("postgres")).expect("the world's own URL");
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
async fn accept(listener: TcpListener, way: watch::Sender<Way>, upstream: Upstream) {
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
        let (mut cut, ways, upstream) = (way.subscribe(), way.subscribe(), upstream.clone());
        #[expect(clippy::disallowed_methods, reason = "the test's runtime ends it")]
        tokio::spawn(async move {
            tokio::select! {
                _cut = cut.wait_for(|way| way.cut_up_to >= number) => {}
                _outcome = forward(stream, number, ways, &upstream) => {}
            }
        });
    }
}

async fn forward(
    client: TcpStream,
    number: u64,
    mut ways: watch::Receiver<Way>,
    upstream: &Upstream,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let there = move |way: &Way| way.passes != Passes::Nothing && way.lost_up_to < number;
    let back = move |way: &Way| way.passes == Passes::Everything && way.lost_up_to < number;
    let (from_client, to_client) = client.into_split();
    if ways.wait_for(there).await.is_err() {
        return Ok(());
    }
    match upstream {
        Upstream::Socket(path) => {
            let (from_server, to_server) = UnixStream::connect(path).await?.into_split();
            tokio::try_join!(
                pump(from_client, to_server, ways.clone(), there),
                pump(from_server, to_client, ways, back),
            )?;
        }
        Upstream::Port(host, port) => {
            let server = TcpStream::connect((host.as_str(), *port)).await?;
            let (from_server, to_server) = server.into_split();
            tokio::try_join!(
                pump(from_client, to_server, ways.clone(), there),
                pump(from_server, to_client, ways, back),
            )?;
        }
    }
    Ok(())
}

/// Hands on bytes, and the end of them, whenever they get through.
async fn pump(
    mut from: impl AsyncRead + Unpin + Send,
    mut to: impl AsyncWrite + Unpin + Send,
    mut ways: watch::Receiver<Way>,
    gets_through: impl Fn(&Way) -> bool + Send + Sync,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if ways.wait_for(&gets_through).await.is_err() {
            return Ok(());
        }
        match buffer.get(..length) {
            None | Some([]) => return to.shutdown().await,
            Some(bytes) => to.write_all(bytes).await?,
        }
    }
}
