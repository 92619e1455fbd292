//! The `auth` function's process: the chassis, with this one service on it.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run("auth", auth::service)
}
