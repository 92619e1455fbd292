//! `cargo call`: calls any RPC of the contracts from the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    client::run(std::env::args().skip(1))
}
