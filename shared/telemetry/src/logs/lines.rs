//! Lines on their way out. A thread of their own writes them: whoever reads them may have stopped
//! reading, and the disk that they go to may be full, and neither holds up who has said something.
//!
//! tracing-appender does this with a bound of lines and not of bytes, and counts nothing that a disk
//! has refused.

use std::{
    io::{self, ErrorKind, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// What may wait to be written, in bytes; lines beyond it are dropped and counted.
pub(super) const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// Memory that is kept for the next lines, in bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// When one that takes nothing now, and does not wait either, is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Takes lines, and has them written. Clones take them for the same reader.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Something waits, or everything is written.
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    is_writing: bool,
}

impl Lines {
    /// Writes to `out` from now on. Fails where the process may have no more threads.
    pub(super) fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Self(Arc::default());
        let shared = Arc::clone(&lines.0);
        let write = move || shared.write_to(out);
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(lines)
    }

    /// Waits until everything that was said is written, but no longer than `wait_max`.
    pub(super) fn flush(&self, wait_max: Duration) {
        let is_busy = |waiting: &mut Waiting| waiting.is_writing || !waiting.bytes.is_empty();
        let waiting = self.0.lock();
        // What is not written by then is not awaited any more.
        let _waited = self.0.changed.wait_timeout_while(waiting, wait_max, is_busy);
    }

    /// How many lines nobody will read.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

/// Takes whole lines, and never fails: who has said something could do nothing about it.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        if waiting.bytes.len() + line.len() > WAITING_BYTES_MAX {
            self.0.drop_lines(line);
        } else {
            waiting.bytes.extend_from_slice(line);
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_lines(&self, lines: &[u8]) {
        // What ends with a line's end has one part more than lines, and what does not is cut.
        let ends = lines.split(|byte| *byte == b'\n').count() - 1;
        self.dropped.fetch_add(u64::try_from(ends).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn write_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        // Of a line that was cut the rest is lost; the next one begins on its own.
        let mut is_cut = false;
        loop {
            self.take(&mut lines);
            if is_cut && send(&mut out, b"\n") == 0 {
                self.drop_lines(&lines);
                continue;
            }
            let sent = send(&mut out, &lines);
            let (written, lost) = lines.split_at(sent);
            self.drop_lines(lost);
            is_cut = written.last().is_some_and(|byte| *byte != b'\n');
        }
    }

    /// Waits for lines, and takes all there are.
    fn take(&self, lines: &mut Vec<u8>) {
        lines.clear();
        lines.shrink_to(KEPT_BYTES_MAX);
        let mut waiting = self.lock();
        waiting.is_writing = false;
        self.changed.notify_all();
        while waiting.bytes.is_empty() {
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.is_writing = true;
        std::mem::swap(&mut waiting.bytes, lines);
    }
}

/// Writes what can be written, and tells how much that was.
fn send(out: &mut impl Write, bytes: &[u8]) -> usize {
    let mut sent = 0;
    while sent < bytes.len() {
        match out.write(&bytes[sent..]) {
            Ok(0) => break,
            Ok(more) => sent += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(TRY_AGAIN),
            // A full disk, or nobody who reads. Both may be over by the next line.
            Err(_) => break,
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    /// What is written to, and takes as much at a time as it is told.
    struct Disk {
        written: Arc<Mutex<Vec<u8>>>,
        free: mpsc::Receiver<usize>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Nobody tells any more: there is room for everything.
            let free = self.free.recv().unwrap_or(usize::MAX).min(bytes.len());
            if free == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.written.lock().unwrap().extend_from_slice(&bytes[..free]);
            Ok(free)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn disk() -> (Lines, Arc<Mutex<Vec<u8>>>, mpsc::Sender<usize>) {
        let (tell, free) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let disk = Disk { written: Arc::clone(&written), free };
        (Lines::to(disk).unwrap(), written, tell)
    }

    fn say(lines: &Lines, line: &str) {
        let mut lines = lines;
        lines.write_all(line.as_bytes()).unwrap();
    }

    fn text(written: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let (lines, written, room) = disk();
        drop(room);
        for number in 0..100 {
            say(&lines, &format!("{number}\n"));
        }
        lines.flush(SOON);
        let numbers: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(text(&written).lines().collect::<Vec<_>>(), numbers);
        assert_eq!(lines.dropped(), 0);
    }

    #[test]
    fn who_does_not_read_delays_nobody_and_what_is_too_much_is_counted() {
        let (lines, written, room) = disk();
        let line = format!("{}\n", "x".repeat(1023));
        let fit = WAITING_BYTES_MAX / line.len();
        say(&lines, "first\n");
        // It is being written, for as long as this test likes.
        while !lines.0.lock().is_writing {
            thread::yield_now();
        }
        for _ in 0..fit + 7 {
            say(&lines, &line);
        }
        assert_eq!((lines.dropped(), text(&written).len()), (7, 0));
        lines.flush(Duration::from_millis(10));
        drop(room);
        lines.flush(SOON);
        assert_eq!(text(&written).len(), 6 + fit * line.len());
        assert_eq!(lines.dropped(), 7);
    }

    #[test]
    fn a_disk_that_was_full_leaves_no_line_in_another() {
        let (lines, written, room) = disk();
        // A part of the first line, and no more. Then no room for a line's end, and then for all.
        for free in [4, 0, 0] {
            room.send(free).unwrap();
        }
        say(&lines, "one two three\n");
        lines.flush(SOON);
        say(&lines, "four\n");
        lines.flush(SOON);
        drop(room);
        say(&lines, "five\n");
        lines.flush(SOON);
        assert_eq!(text(&written), "one \nfive\n");
        assert_eq!(lines.dropped(), 2);
    }
}
