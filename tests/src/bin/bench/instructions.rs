//! Instructions that a server runs for a call, as valgrind counts them: outside of the kernel, and the
//! same on a machine that has other work.

use std::{path::Path, time::Duration};

use tokio::{process::Command, time::sleep};

use crate::{load::Load, process::Server};

/// How long valgrind may take to write down what it has counted.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);

/// What one call costs the server that this program is with `arguments`.
pub(crate) async fn per_call(load: &Load, arguments: &[&str]) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("counted");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind", "--instr-atstart=no"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display()));
    let server = Server::start_by(&mut valgrind, arguments).await;
    load.warm(server.address).await;
    control(&server, &["--instr=on"]).await;
    load.run(server.address, load.calls).await;
    control(&server, &["--dump"]).await;
    let total = total(&dir.path().join("counted.1")).await;
    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far from 2^52")]
    let per_call = total as f64 / load.calls as f64;
    per_call
}

async fn control(server: &Server, arguments: &[&str]) {
    let pid = server.pid().to_string();
    let mut command = Command::new("callgrind_control");
    let output = command.args(arguments).arg(pid).output().await.expect("valgrind is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What was counted in all, once it is written.
async fn total(path: &Path) -> u64 {
    let step = Duration::from_millis(100);
    for _step in 0..WRITTEN_WITHIN.as_millis() / step.as_millis() {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(total) = text.lines().find_map(|line| line.strip_prefix("totals: ")) {
            return total.trim().parse().expect("a number");
        }
        sleep(step).await;
    }
    panic!("valgrind has written nothing")
}
