//! `cargo dev`: the whole platform on one machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    platform::command::run(std::env::args().skip(1))
}
