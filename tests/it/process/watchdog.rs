//! A process that stands still ends by itself; one that was only stopped does not.

use tokio::io::AsyncWriteExt;

use super::{Environment, NOWHERE, Serving, get, secs};

/// A call that no contract knows reaches the service without a token.
const CALL: &str = "POST /mayfly.user.v1.UserService/Nothing HTTP/1.1\r\nhost: x\r\n\
    content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn a_process_whose_threads_all_stand_still_ends_with_70_and_a_line() {
    let environment = Environment::of(NOWHERE);
    let binary = env!("CARGO_BIN_EXE_standstill");
    let mut serving = Serving::of(&mut environment.command_of(binary.as_ref(), &[])).await;
    let mut calls = Vec::new();
    // One for each thread, and some more.
    for _ in 0..std::thread::available_parallelism().unwrap().get() + 4 {
        let mut call = tokio::net::TcpStream::connect(serving.address).await.unwrap();
        call.write_all(CALL.as_bytes()).await.unwrap();
        calls.push(call);
    }
    let ended = serving.program.end(secs(30)).await;
    assert_eq!(ended.code(), Some(70), "{ended:?}");
    assert!(ended.took >= secs(8), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(matches!(*lines, [line] if line.contains("has stood still")), "{ended:?}");
}

#[tokio::test]
async fn a_process_that_was_stopped_for_longer_than_that_serves_on() {
    let serving = Serving::start(&Environment::of(NOWHERE)).await;
    assert_eq!(get(serving.address, "/healthz").await.unwrap().0, 200);
    serving.program.signal("STOP");
    tokio::time::sleep(secs(13)).await;
    serving.program.signal("CONT");
    assert_eq!(get(serving.address, "/healthz").await.unwrap().0, 200);
    // Had it held the time against the process, that would show at its next look.
    tokio::time::sleep(secs(3)).await;
    assert_eq!(get(serving.address, "/healthz").await.unwrap().0, 200);
    serving.stop().await;
}
