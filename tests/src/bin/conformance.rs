//! `cargo run --release -p tests --bin conformance`: HTTP/2, a frame at a time, against the `user`
//! function and against a server of hyper alone; a table of what is allowed and what each makes of
//! it. `--serve` keeps both there, for other people's suites.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command tells what it found")]

use std::process::ExitCode;

use tests::{
    Server,
    conformance::{Case, Grade, Outcome, Plain, cases, outcomes},
    world,
};
use tokio::runtime::Builder;

const HELP: &str = "\
Usage: conformance [--serve]

  --serve    keeps both servers there until Ctrl-C, instead of trying the cases
  --help     tells this

Exit codes: 0 hyper alone does no case better; 1 it does; 64 wrong use.";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let is_kept = match arguments[..] {
        // The server is this program once more.
        ["serve"] => return chassis::run("user", user::service),
        [] => false,
        ["--serve"] => true,
        ["--help"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(64);
        }
    };
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let this = std::env::current_exe().expect("this program");
        let server = Server::start(&this, &world().new_database().await);
        let plain = Plain::start().await;
        if is_kept {
            println!("ours: {}, /healthz\nhyper alone: {}", server.address, plain.address);
            tokio::signal::ctrl_c().await.expect("a signal");
            return ExitCode::SUCCESS;
        }
        compare(&server, &plain).await
    })
}

/// Tries every case; a failure if hyper alone does one of them better.
async fn compare(server: &Server, plain: &Plain) -> ExitCode {
    let cases = cases();
    let (ours, theirs) =
        tokio::join!(outcomes(server.address, &cases), outcomes(plain.address, &cases));
    println!("| section | what is sent | allowed | ours | hyper alone |");
    println!("| --- | --- | --- | --- | --- |");
    let mut is_worse = false;
    for ((case, ours), theirs) in cases.iter().zip(&ours).zip(&theirs) {
        is_worse |= case.grade(*ours) < case.grade(*theirs);
        println!("{}", row(case, *ours, *theirs));
    }
    println!("\n{} cases\nours: {}", cases.len(), total(&cases, &ours));
    println!("hyper alone: {}", total(&cases, &theirs));
    if is_worse { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn total(cases: &[Case], outcomes: &[Outcome]) -> String {
    let count = |grade| {
        cases.iter().zip(outcomes).filter(|(case, outcome)| case.grade(**outcome) == grade).count()
    };
    let [allowed, unspecific, wrong] = [Grade::Allowed, Grade::Unspecific, Grade::Wrong].map(count);
    format!("{allowed} as allowed, {unspecific} ended with a broader code, {wrong} otherwise")
}

fn row(case: &Case, ours: Outcome, theirs: Outcome) -> String {
    let told = |outcome| {
        let mark = match case.grade(outcome) {
            Grade::Allowed => "",
            Grade::Unspecific => " (broader)",
            Grade::Wrong => " (NOT allowed)",
        };
        format!("{outcome}{mark}")
    };
    let allowed: Vec<_> = case.allowed.iter().map(ToString::to_string).collect();
    format!(
        "| {} | {} | {} | {} | {} |",
        case.section,
        case.what,
        allowed.join(", "),
        told(ours),
        told(theirs)
    )
}
