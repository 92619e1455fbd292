//! `cargo call`: calls any RPC of the contracts from the command line, and shows what it answers.
//!
//! It knows the contracts, and nothing of the functions: a message is JSON, and what an RPC needs
//! beside it, such as a token or an idempotency key, is found in the RPC's rule.

mod options;
mod rpc;
mod account;
mod call;
mod failure;
mod shown;

use std::{
    io::{IsTerminal, Read, Write, stdin, stdout},
    process::ExitCode,
};

use proto::{Access, Method};
use tokio::runtime::Builder;

use crate::{
    call::{Call, Caller},
    failure::Failure,
    options::{Asked, HELP, Options},
};

const EX_FAILED: u8 = 1;
const EX_USAGE: u8 = 64;
const EX_UNAVAILABLE: u8 = 69;

/// Does what the command line says, and returns the exit code.
pub fn run(arguments: impl Iterator<Item = String>) -> ExitCode {
    let outcome = Options::parse(arguments).map_err(Failure::Usage);
    let outcome = outcome.and_then(|asked| match asked {
        Asked::Help => tell(HELP),
        Asked::List => tell(rpc::list().trim_end()),
        Asked::Call(options) => {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| Failure::Usage(error.to_string()))?.block_on(call(&options))
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

async fn call(options: &Options) -> Result<(), Failure> {
    let method = rpc::find(&options.method).map_err(Failure::Usage)?;
    let messages = messages(options)?;
    let caller = Caller::new(options)?;
    let token = match (&options.token, needs_token(method)) {
        (Some(token), _) => Some(token.clone()),
        (None, true) => Some(account::token(&caller, options).await?),
        (None, false) => None,
    };

    let call = Call { method, token, key: options.key.clone() };
    if method.json.is_some() {
        let answer = caller.unary(&options.url, &call, &messages).await?;
        return tell(&shown::pretty(&answer));
    }
    caller.stream(&options.url, &call, &messages, tell).await
}

/// Returns the message of the command line or, without one, what standard input says.
fn messages(options: &Options) -> Result<String, Failure> {
    let text = match options.message.as_deref() {
        Some(text) if text != "-" => text.to_owned(),
        None if stdin().is_terminal() => String::new(),
        _ => {
            let mut text = String::new();
            let read = stdin().read_to_string(&mut text);
            read.map_err(|error| Failure::Usage(format!("standard input: {error}")))?;
            text
        }
    };
    Ok(if text.trim().is_empty() { "{}".to_owned() } else { text })
}

fn needs_token(method: &Method) -> bool {
    matches!(method.rule.access, Access::SignedIn | Access::Role { .. })
}

/// Writes what one may use further; whoever reads it may have had enough.
fn tell(text: &str) -> Result<(), Failure> {
    let mut out = stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|_closed| Failure::NobodyReads)
}

#[expect(clippy::print_stderr, reason = "the command's own words")]
fn fail(failure: &Failure) -> ExitCode {
    let code = match failure {
        Failure::NobodyReads => return ExitCode::SUCCESS,
        Failure::Refused(_) => EX_FAILED,
        Failure::Usage(_) => EX_USAGE,
        Failure::Unreachable { .. } => EX_UNAVAILABLE,
    };
    eprintln!("cargo call: {failure}");
    ExitCode::from(code)
}
