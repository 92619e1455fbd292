//! `cargo fly`: deploys functions to Fly.io, and tells what runs there.

use std::process::ExitCode;

fn main() -> ExitCode {
    deploy::run(std::env::args().skip(1))
}
