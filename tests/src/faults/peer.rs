//! A peer that writes its frames by hand, and notes what becomes of it.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::frame::{
    ACK, DATA, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame, setting,
};

const POLL: Duration = Duration::from_millis(5);

/// The setting for the window that streams begin with.
const INITIAL_WINDOW: u16 = 4;

/// How a peer behaves towards what it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// Answers SETTINGS and PING.
    pub(crate) answers: bool,
    /// How much of each stream it takes.
    pub(crate) window: u32,
}

impl Manners {
    pub(crate) const POLITE: Self = Self { answers: true, window: 65_535 };
}

/// What a peer was sent so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The code, the last stream, and the words.
    pub(crate) goaway: Option<(u32, u32, String)>,
    /// Streams by the code they were reset with.
    pub(crate) resets: BTreeMap<u32, u64>,
    /// Frames of headers, and the first of them.
    pub(crate) headers: u64,
    pub(crate) head: Vec<u8>,
    /// Streams whose answer is whole.
    pub(crate) ends: u64,
    pub(crate) body_bytes: u64,
    /// Acknowledgements of SETTINGS, and what those of PING said.
    pub(crate) acks: u64,
    pub(crate) pongs: Vec<Vec<u8>>,
    pub(crate) ended: Option<Instant>,
}

/// A connection over HTTP/2.
pub(crate) struct Peer {
    write: OwnedWriteHalf,
    answers: mpsc::UnboundedReceiver<Vec<u8>>,
    seen: Arc<Mutex<Seen>>,
    _reading: JoinSet<()>,
}

impl Peer {
    /// Connects, says what it speaks, and sends its settings.
    pub(crate) async fn connect(address: SocketAddr, manners: Manners) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (read, mut write) = stream.into_split();
        write.write_all(PREFACE).await?;
        write.write_all(&setting(INITIAL_WINDOW, manners.window)).await?;
        Ok(Self::of(read, write, manners))
    }

    /// Connects, and says no more than this.
    pub(crate) async fn saying(address: SocketAddr, bytes: &[u8]) -> io::Result<Self> {
        let (read, mut write) = TcpStream::connect(address).await?.into_split();
        write.write_all(bytes).await?;
        Ok(Self::of(read, write, Manners { answers: false, window: 0 }))
    }

    fn of(read: OwnedReadHalf, write: OwnedWriteHalf, manners: Manners) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (answer, answers) = mpsc::unbounded_channel();
        let mut reading = JoinSet::new();
        reading.spawn(follow(read, Arc::clone(&seen), manners.answers.then_some(answer)));
        Self { write, answers, seen, _reading: reading }
    }

    /// Sends bytes, and answers first what has to be answered.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        while let Ok(answer) = self.answers.try_recv() {
            self.write.write_all(&answer).await?;
        }
        self.write.write_all(bytes).await
    }

    /// Sends the same again and again, until so many are sent or nobody takes them any more. Returns
    /// how many were taken.
    pub(crate) async fn flood(
        &mut self,
        count: usize,
        mut next: impl FnMut(usize) -> Vec<u8>,
    ) -> usize {
        for number in 0..count {
            if self.is_over() || self.send(&next(number)).await.is_err() {
                return number;
            }
        }
        count
    }

    pub(crate) fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Whether the server has ended it, or said that it will.
    pub(crate) fn is_over(&self) -> bool {
        let seen = lock(&self.seen);
        seen.ended.is_some() || seen.goaway.is_some()
    }

    /// Answers what has to be answered until the server ends it; how long that took, if it did.
    pub(crate) async fn ended(&mut self, within: Duration) -> Option<Duration> {
        let start = Instant::now();
        loop {
            if let Some(ended) = lock(&self.seen).ended {
                return Some(ended.saturating_duration_since(start));
            }
            if start.elapsed() > within {
                return None;
            }
            // A connection that is gone takes no answers.
            let _outcome = self.send(&[]).await;
            sleep(POLL).await;
        }
    }

    /// Waits until what it was sent is as it should be.
    pub(crate) async fn sees(&mut self, within: Duration, is_so: impl Fn(&Seen) -> bool) -> bool {
        let start = Instant::now();
        while !is_so(&lock(&self.seen)) {
            if start.elapsed() > within {
                return false;
            }
            // A connection that is gone takes no answers.
            let _outcome = self.send(&[]).await;
            sleep(POLL).await;
        }
        true
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes every frame until there are no more.
async fn follow(
    mut read: OwnedReadHalf,
    seen: Arc<Mutex<Seen>>,
    answer: Option<mpsc::UnboundedSender<Vec<u8>>>,
) {
    let mut payload = Vec::new();
    loop {
        let mut head = [0; 9];
        if read.read_exact(&mut head).await.is_err() {
            break;
        }
        let [long, middle, short, kind, flags, stream @ ..] = head;
        let length = usize::from(long) << 16 | usize::from(middle) << 8 | usize::from(short);
        payload.resize(length, 0);
        if read.read_exact(&mut payload).await.is_err() {
            break;
        }
        if let (SETTINGS | PING, 0, Some(answer)) = (kind, flags & ACK, &answer) {
            let told: &[u8] = if kind == PING { &payload } else { &[] };
            // Nobody sends any more.
            let _outcome = answer.send(frame(kind, ACK, u32::from_be_bytes(stream), told));
        }
        note(&mut lock(&seen), kind, flags, &payload);
    }
    lock(&seen).ended = Some(Instant::now());
}

fn note(seen: &mut Seen, kind: u8, flags: u8, payload: &[u8]) {
    if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
        seen.ends += 1;
    }
    let number = |at: usize| {
        payload
            .get(at..at + 4)
            .map_or(0, |four| four.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
    };
    match kind {
        GOAWAY => {
            let words = String::from_utf8_lossy(payload.get(8..).unwrap_or_default()).into_owned();
            seen.goaway = Some((number(4), number(0), words));
        }
        RST_STREAM => *seen.resets.entry(number(0)).or_default() += 1,
        HEADERS => {
            seen.headers += 1;
            if seen.head.is_empty() {
                seen.head = payload.to_vec();
            }
        }
        SETTINGS if flags & ACK != 0 => seen.acks += 1,
        PING if flags & ACK != 0 => seen.pongs.push(payload.to_vec()),
        DATA => seen.body_bytes += u64::try_from(payload.len()).unwrap_or(0),
        _ => {}
    }
}

/// Sends the same again and again and reads nothing; how long the server bears it, if it does not
/// bear it for ever.
pub(crate) async fn flood_unread(
    address: SocketAddr,
    bytes: &[u8],
    within: Duration,
) -> Option<Duration> {
    let start = Instant::now();
    let mut stream = TcpStream::connect(address).await.ok()?;
    let opening = [PREFACE, &setting(INITIAL_WINDOW, 0)].concat();
    stream.write_all(&opening).await.ok()?;
    let flooding = async { while stream.write_all(bytes).await.is_ok() {} };
    timeout(within, flooding).await.ok()?;
    Some(start.elapsed())
}
