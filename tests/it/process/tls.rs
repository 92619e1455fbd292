//! TLS without a proxy: both settings or none, HTTP/2 and HTTP/1.1, and no patience for half a
//! handshake.

use std::{io, path::Path, process::Command, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tempfile::TempDir;
use tests::skip;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::task::TaskTracker;

use super::{
    Environment, NOWHERE, Serving,
    program::{ENDS_MAX, Program},
    secs,
};

/// A certificate that signs itself, and its key; none where nothing makes one.
fn certificate() -> Option<TempDir> {
    let dir = tempfile::tempdir().unwrap();
    for name in ["one", "other"] {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(dir.path().join(format!("{name}.key")))
            .arg("-out")
            .arg(dir.path().join(format!("{name}.pem")))
            .output();
        if !made.is_ok_and(|made| made.status.success()) {
            skip("there is no openssl to make a certificate with");
            return None;
        }
    }
    Some(dir)
}

fn path(dir: &TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_owned()
}

fn with_tls(dir: &TempDir) -> Environment {
    Environment::of(NOWHERE)
        .with("TLS_CERT_FILE", path(dir, "one.pem"))
        .with("TLS_KEY_FILE", path(dir, "one.key"))
}

/// Connects as a client that would speak one of these.
async fn connect(serving: &Serving, cert: &Path, protocols: &[&str]) -> TlsStream<TcpStream> {
    try_connect(serving, cert, protocols).await.unwrap()
}

async fn is_trusted(serving: &Serving, cert: &Path) -> bool {
    try_connect(serving, cert, &["h2"]).await.is_ok()
}

async fn try_connect(
    serving: &Serving,
    cert: &Path,
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(serving.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Whether a connection of HTTP/1.1 answers for the health, once.
async fn answers(mut stream: TlsStream<TcpStream>) -> bool {
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer.starts_with(b"HTTP/1.1 200 ")
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_within() {
    let Some(dir) = certificate() else { return };
    let serving = Serving::start(&with_tls(&dir)).await;
    let cert = dir.path().join("one.pem");

    let stream = connect(&serving, &cert, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connections = TaskTracker::new();
    connections.spawn(connection);
    let request = http::Request::get("https://localhost/healthz");
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(sender);

    let stream = connect(&serving, &cert, &["http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(answers(stream).await);
    serving.stop().await;
}

#[tokio::test]
async fn half_a_handshake_is_given_up_and_delays_nobody() {
    let Some(dir) = certificate() else { return };
    let environment = with_tls(&dir).with("PREFACE_MS_MAX", "2000");
    let serving = Serving::start(&environment).await;
    let start = Instant::now();
    let mut half = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        // The beginning of a handshake, for some of them.
        let said: &[u8] = if number % 2 == 0 { &[] } else { &[0x16, 3, 1, 2, 0, 1] };
        stream.write_all(said).await.unwrap();
        half.push(stream);
    }
    let asked = Instant::now();
    drop(connect(&serving, &dir.path().join("one.pem"), &["h2"]).await);
    assert!(asked.elapsed() < Duration::from_millis(1500), "{:?}", asked.elapsed());
    for mut stream in half {
        let mut said = Vec::new();
        // A reset is an end, too.
        drop(timeout(secs(6), stream.read_to_end(&mut said)).await.expect("it is closed"));
    }
    assert!(start.elapsed() >= Duration::from_millis(1900), "{:?}", start.elapsed());

    // Who speaks in clear is told nothing in clear.
    let mut plain = TcpStream::connect(serving.address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    drop(timeout(secs(6), plain.read_to_end(&mut said)).await.expect("it is closed"));
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    serving.stop().await;
}

#[tokio::test]
async fn half_a_pair_and_a_pair_of_two_are_named() {
    let Some(dir) = certificate() else { return };
    let good = with_tls(&dir);
    for (environment, name) in [
        (good.clone().without("TLS_KEY_FILE"), "TLS_KEY_FILE"),
        (good.clone().without("TLS_CERT_FILE"), "TLS_CERT_FILE"),
        (good.clone().with("TLS_KEY_FILE", path(&dir, "other.key")), "TLS_KEY_FILE"),
        (good.clone().with("TLS_KEY_FILE", path(&dir, "one.pem")), "TLS_KEY_FILE"),
        (good.clone().with("TLS_CERT_FILE", path(&dir, "one.key")), "TLS_CERT_FILE"),
        (good.clone().with("TLS_CERT_FILE", path(&dir, "nothing")), "TLS_CERT_FILE"),
    ] {
        let ended = Program::run(&mut environment.command(&["check"]), ENDS_MAX).await;
        assert_eq!(ended.code(), Some(78), "{ended:?}");
        let told: Vec<_> = ended.stderr.lines().skip(1).collect();
        assert!(matches!(*told, [line] if line.starts_with(name)), "{ended:?}");
    }
    let ended = Program::run(&mut good.command(&["check"]), ENDS_MAX).await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

/// The greeting of a client that knows no newer version: chance, no session, one cipher of 1.2, no
/// compression; one curve, its points, one signature.
fn greeting(version: [u8; 2]) -> Vec<u8> {
    let extensions =
        [&[0, 10, 0, 4, 0, 2, 0, 23][..], &[0, 11, 0, 2, 1, 0], &[0, 13, 0, 4, 0, 2, 4, 3]]
            .concat();
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let start = [&version[..], &[7; 32], &[0], &[0, 2, 0xc0, 0x2b], &[1, 0]].concat();
    let hello = [&start[..], &[0, length(&extensions)], &extensions].concat();
    let message = [&[1, 0, 0, length(&hello)], &hello[..]].concat();
    [&[0x16, 3, 1, 0, length(&message)], &message[..]].concat()
}

#[tokio::test]
async fn older_versions_and_garbage_are_shown_the_door() {
    let Some(dir) = certificate() else { return };
    let serving = Serving::start(&with_tls(&dir)).await;
    // The alert that says so: fatal, protocol_version.
    let refused = [0x15, 3, 3, 0, 2, 2, 70];
    for (said, alert) in [
        (greeting([3, 1]), Some(refused)),
        (greeting([3, 2]), Some(refused)),
        (b"\x16\x03\x01\xff\xff".repeat(9), None),
        (vec![0xa5; 4096], None),
    ] {
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        stream.write_all(&said).await.unwrap();
        let mut told = Vec::new();
        // A reset is an end, too.
        drop(timeout(secs(2), stream.read_to_end(&mut told)).await.expect("it is closed"));
        assert!(alert.is_none_or(|alert| told == alert), "{told:?}");
    }
    // The same greeting by the name of 1.2 goes on.
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    stream.write_all(&greeting([3, 3])).await.unwrap();
    let mut told = [0; 6];
    stream.read_exact(&mut told).await.unwrap();
    assert!(matches!(told, [0x16, 3, 3, _, _, 2]), "{told:?}");
    serving.stop().await;
}

/// Puts one pair in the place of another, and has it read.
async fn renew(serving: &mut Serving, dir: &TempDir, other: &str, told: &str) {
    for kind in ["pem", "key"] {
        std::fs::copy(path(dir, &format!("{other}.{kind}")), path(dir, &format!("one.{kind}")))
            .unwrap();
    }
    serving.program.signal("HUP");
    serving.program.line(told, |line| line.contains(told).then_some(())).await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart_and_a_bad_one_is_not() {
    let Some(dir) = certificate() else { return };
    let mut serving = Serving::start(&with_tls(&dir)).await;
    let (one, other) = (dir.path().join("first.pem"), dir.path().join("other.pem"));
    std::fs::copy(dir.path().join("one.pem"), &one).unwrap();
    let old = connect(&serving, &one, &["http/1.1"]).await;

    renew(&mut serving, &dir, "other", "the certificate was read anew").await;
    drop(connect(&serving, &other, &["h2"]).await);
    assert!(!is_trusted(&serving, &one).await);

    // Half of a pair, and then nothing that can be read.
    std::fs::write(path(&dir, "torn.pem"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    std::fs::copy(path(&dir, "other.key"), path(&dir, "torn.key")).unwrap();
    renew(&mut serving, &dir, "torn", "the old one stays").await;
    drop(connect(&serving, &other, &["h2"]).await);

    // Whoever was there before is served as before.
    assert!(answers(old).await);
    serving.stop().await;
}

#[tokio::test]
async fn a_process_without_tls_survives_being_told_to_hang_up() {
    let mut serving = Serving::start(&Environment::of(NOWHERE)).await;
    serving.program.signal("HUP");
    serving.program.line("want", |line| line.contains("nothing to read").then_some(())).await;
    assert_eq!(super::get(serving.address, "/healthz").await.unwrap().0, 200);
    serving.stop().await;
}
