//! What one process ends, another refuses, each being a process of its own.

use std::{path::Path, process::Command, time::Duration};

use proto::{
    auth::v1::{RevokeAllSessionsRequest, SignInRequest},
    user::v1::GetProfileRequest,
};
use tests::{Person, Server, told, world};
use tokio::time::{Instant, sleep};
use tonic::Code;

use crate::process::program::{ALL, USER};

/// `REVOCATION_SECS_MAX` unless it is set.
const KNOWN_MAX: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_has_revoked_another_refuses_within_five_seconds() {
    let database = world().new_database().await;
    let account = ("FIREBASE_SERVICE_ACCOUNT", &*world().service_account);
    let one = Server::with(&mut Command::new(ALL), &database, &[account]);
    let other = Server::start(Path::new(USER), &database);
    let email = "two-processes@example.com".to_owned();
    let password = "correct horse".to_owned();
    world().issuer.sign_up(&email, &password).unwrap();

    let request = SignInRequest { email, password, device_name: String::new() };
    let stranger = Person::new(one.address, "nobody", None);
    let answer = stranger.auth().sign_in(request).await.unwrap().into_inner();
    let token = Some(answer.tokens.unwrap().id_token);
    let (ada, there) =
        (Person::new(one.address, "ada", token.clone()), Person::new(other.address, "ada", token));
    let asks = async || {
        let sent = Instant::now();
        let status = there.user().get_profile(GetProfileRequest::default()).await.unwrap_err();
        (sent, status)
    };
    // It knows her, and that nothing is revoked.
    assert_eq!(asks().await.1.code(), Code::NotFound);

    ada.auth().revoke_all_sessions(RevokeAllSessionsRequest {}).await.unwrap();
    let revoked = Instant::now();
    loop {
        let (sent, status) = asks().await;
        if status.code() == Code::Unauthenticated {
            assert_eq!(told(&status).reason, "TOKEN_REVOKED");
            break;
        }
        assert_eq!(status.code(), Code::NotFound);
        // However slow this machine is: what is sent later than that is refused.
        assert!(sent.duration_since(revoked) < KNOWN_MAX, "{:?}", sent.duration_since(revoked));
        sleep(Duration::from_millis(50)).await;
    }
}
