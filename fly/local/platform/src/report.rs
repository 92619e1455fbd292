//! What `cargo dev` tells once everything runs: what is where, and a call to copy.

use std::time::Duration;

use serde_json::Map;

use crate::Running;

/// Who the printed token is for.
const DEVELOPER: &str = "developer";

/// Tells what takes long, as it begins. Standard output is for what one may copy.
#[expect(clippy::print_stderr, reason = "the command's own words")]
pub(crate) fn progress(line: &str) {
    eprintln!("cargo dev: {line}");
}

pub(crate) fn report(running: &Running, took: Duration) -> String {
    let functions: Vec<_> = all::functions().iter().map(|function| function.name).collect();
    let functions = functions.join(", ");
    let Running { address, internal_address, issuer, served, database, psql, .. } = running;
    let issuer_url = served.url();
    let (issuer_address, project) = (served.address(), issuer.project());
    let psql = psql.as_deref().unwrap_or("-");
    let took = took.as_secs_f64();
    let token = issuer.id_token(DEVELOPER, &Map::new());
    format!(
        "\
mayfly is up, in {took:.1} s

  functions  http://{address}  gRPC and JSON: {functions}
  internal   http://{internal_address}  /metrics /health/ready /health/detailed
  issuer     {issuer_url}  accounts:signUp, accounts:signInWithPassword, token
  database   {database}
             {psql}

A token for the person {DEVELOPER:?}, good for an hour:

  {token}

Firebase's own SDKs find the issuer so, in an app's page and as an administrator:

  connectAuthEmulator(auth, \"{issuer_url}\")   projectId: {project}
  FIREBASE_AUTH_EMULATOR_HOST={issuer_address}   projectId: {project}

It signs with another key once a day, or from now on:

  curl -s -X POST -H 'authorization: Bearer owner' {issuer_url}/emulator/v1/projects/{project}/keys:rotate

A first call, for a second terminal:

  TOKEN=$(curl -s '{issuer_url}/identitytoolkit.googleapis.com/v1/accounts:signUp?key=any' \\
    -H 'content-type: application/json' -d '{{\"returnSecureToken\":true}}' \\
    | sed -n 's/.*\"idToken\": *\"\\([^\"]*\\)\".*/\\1/p')
  HANDLE=ada_$(date +%s)
  curl -i http://{address}/mayfly.user.v1.UserService/CreateProfile \\
    -H \"authorization: Bearer $TOKEN\" -H 'content-type: application/json' \\
    -H 'idempotency-key: my-first-profile' \\
    -d '{{\"profile\":{{\"handle\":\"'$HANDLE'\",\"displayName\":\"Ada\"}}}}'

Ctrl-C stops it; the data stays."
    )
}
