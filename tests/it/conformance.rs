//! HTTP/2 on the wire: what RFC 9113 and RFC 7541 say, and other people's programs.

use std::{
    io,
    process::{Command, Stdio},
};

use tests::{
    App, Server,
    conformance::{Grade, Plain, cases, outcomes},
    skip, world,
};

use crate::process::program::USER;

/// Cases that neither hyper nor we have as the RFC does: each is told in docs/faults.md.
const WRONG_MAX: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_spoken_as_the_rfc_says_and_no_worse_than_by_hyper_alone() {
    let server = Server::start(USER.as_ref(), &world().new_database().await);
    let plain = Plain::start().await;
    let cases = cases();
    let (ours, theirs) =
        tokio::join!(outcomes(server.address, &cases), outcomes(plain.address, &cases));
    let mut wrong = Vec::new();
    for ((case, ours), theirs) in cases.iter().zip(ours).zip(theirs) {
        let told = format!("{} {}: {ours}; of hyper: {theirs}", case.section, case.what);
        assert!(case.grade(ours) >= case.grade(theirs), "{told}");
        if case.grade(ours) == Grade::Wrong {
            wrong.push(told);
        }
    }
    assert!(wrong.len() <= WRONG_MAX, "{wrong:#?}");
    assert_eq!(server.panics(), [""; 0]);
    server.drained();
}

/// What a program says that is not ours, on both its streams; none where it is not.
fn said(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let ended = match Command::new(program).args(arguments).stdin(Stdio::null()).output() {
        Ok(ended) => ended,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{program}: {error}"),
    };
    let said = [ended.stdout, ended.stderr].concat();
    Some((ended.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// An app in which Ada has a profile, and the address and token with which to ask for it in JSON.
async fn app_of_ada() -> (App, String, String) {
    let app = App::start().await;
    let ada = app.person("ada");
    ada.creates_public_profile("ada").await;
    let url = format!("http://{}/mayfly.user.v1.UserService/GetProfile", app.address);
    (app, url, format!("authorization: Bearer {}", ada.token.unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_speaks_http2_with_us_from_the_first_byte() {
    let (app, url, bearer) = app_of_ada().await;
    let healthz = format!("http://{}/healthz", app.address);
    let how = ["-sS", "--http2-prior-knowledge", "-w", "\n%{http_version} %{http_code}"];
    let json = ["-H", "content-type: application/json", "-H", &bearer, "-d", "{}", &url];
    for (what, body) in [(&[&*healthz][..], "ok\n"), (&json, "\"handle\":\"ada\"")] {
        let Some((is_good, said)) = said("curl", &[&how, what].concat()) else {
            return skip("there is no curl");
        };
        assert!(is_good && said.contains(body) && said.ends_with("\n2 200"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nghttp_has_nothing_to_complain_of() {
    let (app, url, bearer) = app_of_ada().await;
    let healthz = format!("http://{}/healthz", app.address);
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(body.path(), "{}").unwrap();
    let body = format!("-d{}", body.path().to_str().unwrap());
    let json = [&*body, "-H", "content-type: application/json", "-H", &bearer, &url];
    for what in [&[&*healthz][..], &json] {
        let Some((is_good, said)) = said("nghttp", &[&["-nv"], what].concat()) else {
            return skip("there is no nghttp: install nghttp2-client");
        };
        assert!(is_good && said.contains(":status: 200"), "{said}");
        // The answer and its body, whole; then nghttp takes its leave without a complaint.
        let has = |kind: &str, mark: &str| {
            said.split("\n[").any(|frame| frame.contains(kind) && frame.contains(mark))
        };
        assert!(
            has("recv DATA frame", "END_STREAM") || has("recv HEADERS", "END_STREAM"),
            "{said}"
        );
        assert!(has("send GOAWAY frame", "NO_ERROR(0x00)"), "{said}");
        for wrong in ["RST_STREAM", "recv GOAWAY", "[ERROR]", "[INVALID", "Some requests were not"]
        {
            assert!(!said.contains(wrong), "{wrong}: {said}");
        }
    }
}
