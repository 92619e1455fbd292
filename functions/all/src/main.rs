//! Every function in one process, for the smallest machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run_all("all", all::functions())
}
