//! Requests whose end does not come: they take no place, and are no fault of ours.

use std::{
    net::{Shutdown, SocketAddr},
    time::Duration,
};

use proto::user::v1::GetProfileRequest;
use tests::{App, until};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};
use tonic::Code;

use super::{app_and_ada_with, frame, get, get_own, raw::Call};

const LIMIT: Duration = Duration::from_secs(10);

/// Calls of `GetProfile` that a metric counts, of a code if it has one.
async fn counted(app: &App, name: &str, code: Option<&str>) -> u64 {
    let (_status, text) = app.internal("/metrics").await;
    let of_code = |line: &str| code.is_none_or(|code| line.contains(&format!("\"{code}\"")));
    let lines = text.lines().filter(|line| line.starts_with(name) && of_code(line));
    let lines = lines.filter(|line| line.contains("\"GetProfile\""));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Begins a call and is gone with its machine: nothing of it says goodbye.
async fn vanish(call: Call, address: SocketAddr) {
    let vanishing = spawn_blocking(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let begun = async { timeout(Duration::from_millis(300), call.begin(address)).await };
        assert!(runtime.block_on(begun).is_err(), "it is answered before its end");
    });
    vanishing.await.unwrap();
}

#[tokio::test]
async fn a_request_takes_its_place_when_it_is_whole() {
    let (app, ada) = app_and_ada_with(&[("MAX_IN_FLIGHT", "1")]).await;
    let mut unsent = JoinSet::new();
    for _ in 0..5 {
        let (call, address) = (get(&ada, Vec::new()).endless(), app.address);
        unsent.spawn(async move { call.begin(address).await });
    }
    let begun = async || counted(&app, "grpc_server_started_total", None).await == 5;
    until("all have begun", LIMIT, begun).await;
    let told = get_own(&ada).send(app.address).await.grpc_status();
    assert_eq!(told.code(), Code::Ok, "{told:?}");
    assert!(unsent.try_join_next().is_none(), "none is answered");
}

#[tokio::test]
async fn trailers_end_a_request_as_nothing_more_does() {
    let (app, ada) = app_and_ada_with(&[]).await;
    for (frames, code) in [
        (frame(&GetProfileRequest::default()), Code::Ok),
        (Vec::new(), Code::Unimplemented),
        (vec![0, 0, 0], Code::InvalidArgument),
        (vec![0, 0, 0, 0, 9, 1], Code::InvalidArgument),
    ] {
        let told = get(&ada, frames.clone()).with_trailers().send(app.address).await.grpc_status();
        assert_eq!(told.code(), code, "{frames:?}");
        let told = get(&ada, frames).send(app.address).await.grpc_status();
        assert_eq!(told.code(), code);
    }
}

#[tokio::test]
async fn who_is_gone_before_the_end_of_their_request_has_cancelled_it() {
    let (app, ada) = app_and_ada_with(&[]).await;
    vanish(get(&ada, Vec::new()).endless(), app.address).await;
    vanish(get(&ada, vec![0, 0, 0]).endless(), app.address).await;
    let noticed = async || counted(&app, "grpc_server_handled_total", Some("Canceled")).await == 2;
    until("it is noticed", LIMIT, noticed).await;
    assert_eq!(counted(&app, "grpc_server_handled_total", Some("Internal")).await, 0);
}

#[tokio::test]
async fn who_closes_half_of_a_connection_is_told_what_is_missing() {
    let (app, ada) = app_and_ada_with(&[]).await;
    let head = format!(
        "POST /mayfly.user.v1.UserService/GetProfile HTTP/1.1\r\nhost: x\r\n\
         content-type: application/json\r\nauthorization: Bearer {}\r\n",
        ada.token.as_deref().unwrap()
    );
    for body in ["content-length: 10\r\n\r\n{", "transfer-encoding: chunked\r\n\r\nZZ\r\n"] {
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let stream = stream.into_std().unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        TcpStream::from_std(stream).unwrap().read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 400"), "{body:?}: {text}");
        assert!(text.contains("\"invalid_argument\""), "{body:?}: {text}");
    }
}
