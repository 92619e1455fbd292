//! What `cargo call` is told on the command line.

/// Where `cargo dev` serves unless told otherwise.
const URL: &str = "http://127.0.0.1:8080";
const ISSUER: &str = "http://127.0.0.1:9099";

pub(crate) const HELP: &str = "\
Calls an RPC and shows its answer.

Usage: cargo call RPC [MESSAGE] [OPTIONS]
       cargo call --list

  RPC                  such as user.GetProfile or grpc.health.v1.Health/Check
  MESSAGE              in JSON; without it, or for -, standard input is read; empty is {}
                       an RPC that takes a stream takes several, one after another

Options:
  --url URL            where the functions answer (http://127.0.0.1:8080)
  --issuer URL         where the issuer answers (http://127.0.0.1:9099)
  --role ROLE          calls as an account of the local issuer that has the role, such as admin
  --token TOKEN        calls as this person; else it is the issuer's developer@example.com
  --key KEY            the idempotency key; a fresh one unless given
  --list               tells every RPC: who may call, its deadline, what a repeat does
  --help               tells this

Exit code: 0, or 1 if the call failed, 64 if the command line is wrong, 69 if nobody answers.";

/// A call as it was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Options {
    pub(crate) method: String,
    pub(crate) message: Option<String>,
    pub(crate) url: String,
    pub(crate) issuer: String,
    pub(crate) token: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) key: Option<String>,
}

/// What the command line said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    Call(Options),
    List,
    Help,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
        let (mut url, mut issuer) = (URL.to_owned(), ISSUER.to_owned());
        let (mut token, mut role, mut key, mut plain) = (None, None, None, Vec::new());
        while let Some(argument) = arguments.next() {
            let (name, given) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let mut value = || {
                given.clone().or_else(|| arguments.next()).ok_or(format!("{name} needs a value"))
            };
            match name {
                "--url" => url = value()?,
                "--issuer" => issuer = value()?,
                "--token" => token = Some(value()?),
                "--role" => role = Some(value()?),
                "--key" => key = Some(value()?),
                "--list" => return Ok(Asked::List),
                "--help" | "-h" => return Ok(Asked::Help),
                _ if name.starts_with("--") => {
                    return Err(format!("there is no option {name:?}; try --help"));
                }
                _ => plain.push(argument),
            }
        }
        let mut plain = plain.into_iter();
        let method = plain.next().ok_or("which RPC? --list tells them all, --help the rest")?;
        let message = plain.next();
        if let Some(more) = plain.next() {
            return Err(format!("{more:?} is one too many: a message is one argument, in quotes"));
        }
        if token.is_some() && role.is_some() {
            return Err("--token and --role say two things of who calls".to_owned());
        }
        let of_server = |url: String| url.trim_end_matches('/').to_owned();
        let (url, issuer) = (of_server(url), of_server(issuer));
        Ok(Asked::Call(Self { method, message, url, issuer, token, role, key }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Asked, String> {
        Options::parse(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn a_call_may_have_its_options_anywhere() {
        let line = ["--url=http://x/", "user.GetProfile", "--key", "k", r#"{"a":"--b=c"}"#];
        let Ok(Asked::Call(options)) = parse(&line) else {
            panic!("this is a call");
        };
        assert_eq!((&*options.url, &*options.issuer), ("http://x", ISSUER));
        assert_eq!(options.method, "user.GetProfile");
        assert_eq!(options.message.as_deref(), Some(r#"{"a":"--b=c"}"#));
        assert_eq!((options.key.as_deref(), options.token), (Some("k"), None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, named) in [
            (&["--tokn", "x"][..], "--tokn"),
            (&["a", "--token"], "--token"),
            (&[], "RPC"),
            (&["a", "{", "}"], "\"}\""),
            (&["a", "--token", "x", "--role", "admin"], "--role"),
        ] {
            assert!(parse(line).unwrap_err().contains(named), "{line:?}");
        }
    }
}
