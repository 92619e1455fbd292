//! TLS without a proxy: both settings or none, HTTP/2 and HTTP/1.1, and no patience for half a
//! handshake.

use std::{path::Path, process::Command, sync::Arc, time::Duration};

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

use super::{Environment, NOWHERE, Serving, program::Program, secs};

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
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(serving.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
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

    let mut stream = connect(&serving, &cert, &["http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
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
        let ended = Program::run(&mut environment.command(&["check"]), secs(2)).await;
        assert_eq!(ended.code(), Some(78), "{ended:?}");
        let told: Vec<_> = ended.stderr.lines().skip(1).collect();
        assert!(matches!(*told, [line] if line.starts_with(name)), "{ended:?}");
    }
    let ended = Program::run(&mut good.command(&["check"]), secs(2)).await;
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}
