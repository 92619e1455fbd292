//! Peers that say nothing, and a process that is out of file descriptors.

use std::{fs, time::Duration};

use tests::skip;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep_until, timeout},
};

use super::{Environment, NOWHERE, Serving, get, program::USER, secs};

/// Connects so often, and says the beginning of something, or nothing.
async fn silent(serving: &Serving, count: usize, said: &[u8]) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        streams.push(stream);
    }
    streams
}

#[tokio::test]
async fn who_does_not_say_what_they_speak_is_closed() {
    let environment = Environment::of(NOWHERE).with("PREFACE_MS_MAX", "500");
    let serving = Serving::start(&environment).await;
    let start = Instant::now();
    let mut streams = silent(&serving, 20, b"").await;
    streams.extend(silent(&serving, 5, b"PRI * HT").await);
    streams.extend(silent(&serving, 5, b"POST /x HTT").await);
    for mut stream in streams {
        let mut said = Vec::new();
        let closed = timeout(secs(3), stream.read_to_end(&mut said)).await;
        // A reset is an end, too; some are told why.
        drop(closed.expect("it is closed"));
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{said:?}");
        assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    }
    serving.stop().await;
}

#[tokio::test]
async fn a_greeting_in_pieces_has_no_more_time_than_none() {
    let environment = Environment::of(NOWHERE).with("PREFACE_MS_MAX", "3000");
    let serving = Serving::start(&environment).await;
    let start = Instant::now();
    let mut stream = silent(&serving, 1, b"PRI * HTTP/2.0\r\n").await.remove(0);
    sleep_until(start + Duration::from_millis(2500)).await;
    // What should follow at once is a first frame.
    stream.write_all(b"\r\nSM\r\n\r\n").await.unwrap();
    let closed = timeout(secs(2), stream.read_to_end(&mut Vec::new())).await;
    drop(closed.expect("it is closed"));
    assert!(start.elapsed() >= Duration::from_millis(2900), "{:?}", start.elapsed());
    serving.stop().await;
}

#[tokio::test]
async fn who_says_nothing_does_not_delay_the_drain() {
    let serving = Serving::start(&Environment::of(NOWHERE)).await;
    let silent_ones = silent(&serving, 20, b"").await;
    let slow = silent(&serving, 5, b"PRI * HT").await;
    // Everybody before this one has been accepted.
    assert_eq!(get(serving.address, "/healthz").await.unwrap().0, 200);
    serving.stop().await;
    drop((silent_ones, slow));
}

#[tokio::test]
async fn out_of_descriptors_it_waits_and_recovers() {
    let Some(()) = fs::exists("/proc/self/stat").unwrap().then_some(()) else {
        return skip("there is no /proc to read the processor time from");
    };
    let environment = Environment::of(NOWHERE).with("PREFACE_MS_MAX", "60000");
    let mut command = environment.command_of("/bin/sh".as_ref(), &[]);
    command.args(["-c", "ulimit -n 64; exec \"$0\""]).arg(USER);
    let mut serving = Serving::of(&mut command).await;
    let streams = silent(&serving, 200, b"").await;
    serving.program.line("want", |line| line.contains("cannot accept").then_some(())).await;

    let before = ticks(serving.program.pid());
    sleep_until(Instant::now() + secs(2)).await;
    let used = ticks(serving.program.pid()) - before;
    assert!(used <= 20, "{used} hundredths of a second of 2 s");

    drop(streams);
    let give_up = Instant::now() + secs(5);
    while get(serving.address, "/healthz").await.map(|told| told.0) != Some(200) {
        assert!(Instant::now() < give_up, "it does not recover");
    }
    serving.stop().await;
}

/// Processor time of a process, in hundredths of a second: fields 14 and 15, counted from 1.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let fields: Vec<_> = after_name.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
