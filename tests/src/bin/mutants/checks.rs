//! The checks in Rust that are taken away: where each stands, and what is left without it.

use std::{fs, path::Path};

use crate::list::Mutant;

/// One check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    path: &'static str,
    from: &'static str,
    to: Without,
}

/// What stands in the place of a check.
#[derive(Clone, Copy, Debug)]
enum Without {
    /// A condition that is never met.
    Never,
    /// Another text.
    Text(&'static str),
    /// Another text, wherever it stands.
    Everywhere(&'static str),
    /// Nothing, where what follows begins so.
    Before(&'static str),
}

use Without::{Before, Everywhere, Never, Text};

const AUTHENTICATE: &str = "shared/layers/src/authenticate.rs";
const TOKEN: &str = "shared/identity/src/token.rs";
const SERVICE: &str = "shared/identity/src/service.rs";
const SIGNED: &str = "shared/identity/src/signed.rs";
const BEARER: &str = "shared/identity/src/bearer.rs";
const STANDING: &str = "shared/revocation/src/standing.rs";
const TICKET: &str = "shared/ticket/src/lib.rs";
const PAGE: &str = "shared/page/src/lib.rs";
const CURSOR: &str = "shared/changes/src/cursor.rs";
const ANSWER: &str = "shared/database/src/answer.rs";
const STAND: &str = "functions/auth/src/service/standing.rs";
const TOKENS: &str = "functions/auth/src/service/tokens.rs";
const SIGN_IN: &str = "functions/auth/src/service/sign_in.rs";
const TENURE: &str = "shared/layers/src/tenure.rs";
const API_CLIENT: &str = "functions/auth/src/model/api_client.rs";
const ROLES: &str = "functions/auth/src/service/roles.rs";
const SESSIONS: &str = "functions/auth/src/service/sessions.rs";
const API_CLIENTS: &str = "functions/auth/src/service/api_clients.rs";

/// How whoever calls is asked for again, in the transaction that writes.
const MAY_STILL: &str = "self.may_still(&tx, call).await?;";
const MAY_SAY: &str = "self.may_say(&tx, call, of).await?;";

/// Every check. A condition begins with its `if`.
pub(crate) const CHECKS: &[Check] = &[
    // Who may call.
    of(AUTHENTICATE, "self.revocations.check(&person).await?;", Text("")),
    of(AUTHENTICATE, "if any_of.iter().any(", Text("if !any_of.is_empty() || any_of.iter().any(")),
    of(AUTHENTICATE, "if callers.contains(", Text("if !callers.is_empty() || callers.contains(")),
    of(AUTHENTICATE, "has_one(&person, any_of)?;", Text("")),
    of(AUTHENTICATE, "is_one(&name, callers)?;", Text("")),
    // Who may stay.
    of(TENURE, "if self.gate.verifier.time_left(", Never),
    of(TENURE, "revocations.check(&person).await", Text("Ok(())")),
    // Where a token comes from, and how it is written.
    of(BEARER, "if values.next().is_some()", Never),
    of(BEARER, "if !scheme.eq_ignore_ascii_case(\"bearer\")", Never),
    of(TOKEN, "if token.len() > TOKEN_BYTES_MAX", Never),
    of(TOKEN, "if header.get(\"alg\")", Never),
    of(TOKEN, "if typ.is_some_and(", Never),
    of(TOKEN, "if HEADER_BANNED.iter().any(", Never),
    of(TOKEN, ".filter(printable)", Text("")),
    of(SIGNED, "return Err(Error::Invalid(\"signature\"));", Text("")),
    of(SIGNED, "if is_over(", Never),
    // What a token says.
    of(TOKEN, "if text(claims, \"aud\") !=", Never),
    of(TOKEN, "if text(claims, \"iss\") !=", Never),
    of(
        TOKEN,
        "text(claims, \"sub\").and_then(UserId::parse)",
        Text("text(claims, \"sub\").or(Some(\"nobody\")).and_then(UserId::parse)"),
    ),
    of(TOKEN, "if claims.get(\"user_id\").is_some_and(", Never),
    of(
        TOKEN,
        "time(claims, \"exp\").ok_or(Error::Invalid(\"exp is not a time\"))?",
        Text("time(claims, \"exp\").unwrap_or(i64::MAX)"),
    ),
    of(
        TOKEN,
        "time(claims, \"iat\").ok_or(Error::Invalid(\"iat is not a time\"))?",
        Text("time(claims, \"iat\").unwrap_or(0)"),
    ),
    of(
        TOKEN,
        "time(claims, \"auth_time\").ok_or(Error::Invalid(\"auth_time is not a time\"))?",
        Text("time(claims, \"auth_time\").unwrap_or(0)"),
    ),
    of(TOKEN, ".filter(|secs| *secs >= 0)", Text("")),
    of(TOKEN, "if issue > self.latest(now)", Never),
    of(TOKEN, " || begin > self.latest(now)", Text("")),
    of(TOKEN, "if auth_time > rules.latest(now)", Never),
    of(TOKEN, "if rules.expired(expire, now)", Never),
    // What a function's own token says.
    of(SERVICE, "if OF_PERSONS.iter().any(", Never),
    of(SERVICE, "expire <= issue || ", Text("")),
    of(SERVICE, "app.strip_prefix(prefix)?.strip_prefix('-')?", Text("app.rsplit('-').next()?")),
    of(SERVICE, " || expire.saturating_sub(issue) > LIFE_SECS_MAX", Text("")),
    of(SERVICE, "if rules.expired(expire, now)", Never),
    of("shared/identity/src/verifier.rs", "if visit.callee.as_str() != callee", Never),
    // Whose token counts no longer.
    of(STANDING, "if self.is_disabled", Never),
    of(STANDING, "person.auth_time < self.valid_from", Text("false")),
    of(STANDING, "over.contains(&person.auth_time)", Text("over.is_empty()")),
    of(STANDING, "if person.issue_time < self.issued_from", Never),
    // Who may still call when it is written what they want. Where that is asked for before Firebase
    // is asked for anything, it is asked for again.
    of(STAND, MAY_SAY, Before("let mark = self.context.revocations.disable(")),
    of(STAND, MAY_SAY, Before("let mark = self.context.revocations.mark(")),
    of(STAND, MAY_SAY, Before("if !self.context.revocations.enable(")),
    of(ROLES, MAY_SAY, Before("// What was read is what is put back")),
    of(ROLES, "self.refusal(&tx, call).await?", Text("None::<Fault>")),
    of(SESSIONS, MAY_STILL, Before("self.end(&tx, call, (auth_time")),
    of(SESSIONS, MAY_STILL, Before("let session = store::lock_session(")),
    of(SESSIONS, MAY_STILL, Before("store::revoke_sessions(")),
    of(API_CLIENTS, MAY_STILL, Before("let secret = secret()?;")),
    of(API_CLIENTS, MAY_STILL, Before("let (secret, now) = ")),
    of(API_CLIENTS, MAY_STILL, Before("if !store::delete_api_client(")),
    of(
        "functions/auth/src/service.rs",
        "store::lock_person(tx, id).await?;",
        Text("let _id = id;"),
    ),
    // What nobody does to themselves.
    of(STAND, "model::is_another(&call.user_id, &of)?;", Text("")),
    of(ROLES, "model::keeps_admin(&call.user_id, &of, &roles)?;", Text("")),
    // Whose sign-in is kept, and goes on.
    of(SIGN_IN, "store::lock_person(&tx, &person.user_id).await?;", Text("")),
    of(SIGN_IN, "Some(revocation::Error::Disabled) => return Ok(false),", Text("")),
    of(SIGN_IN, "Some(revocation::Error::Revoked) => return Err(over_already()),", Text("")),
    of(SIGN_IN, "if self.is_over(", Never),
    of(SIGN_IN, "is_refused || ", Text("")),
    // Which secret and which token of a machine is good.
    of(API_CLIENTS, "api_client::of_secret(client, &client_secret, self.now())", Text("client")),
    of(API_CLIENT, " && now < client.previous_expire_time", Text("")),
    of(API_CLIENT, " && now < self.previous_expire_time", Text("")),
    of(API_CLIENT, " && now_secs < expires", Text("")),
    of(
        TOKENS,
        "self.context.revocations.check(&person).await",
        Text("Ok::<(), revocation::Error>(())"),
    ),
    of(TOKENS, "|client| client.takes(", Text("|client| !client.id.is_empty() || client.takes(")),
    // What page tokens and cursors are bound to.
    of(TICKET, "hmac::verify(&self.key, &self.signed(&content), &tag).ok()?;", Text("")),
    of(
        TICKET,
        "[&length(content)[..], content, &self.binding]",
        Text("[&length(content)[..], content]"),
    ),
    of(TICKET, "[rpc.as_bytes(), caller.as_bytes()]", Text("[rpc.as_bytes()]")),
    of(TICKET, "[rpc.as_bytes(), caller.as_bytes()]", Text("[caller.as_bytes()]")),
    of(PAGE, "&[&query.encode_to_vec()]", Text("&[]")),
    of(PAGE, "i64::from_be_bytes(*expiry) > self.now_secs", Text("expiry.len() == EXPIRY_BYTES")),
    of(
        CURSOR,
        "Signer::of(pool, \"cursor\", call, &watched)",
        Text("Signer::of(pool, \"cursor\", call, &[])"),
    ),
    of(CURSOR, "epoch == self.epoch && ", Text("")),
    // What an idempotency key is bound to.
    of(ANSWER, "caller: call.caller.key().into_owned()", Text("caller: String::new()")),
    of(ANSWER, "rpc: method.path", Text("rpc: \"\"")),
    of(ANSWER, "hash(key.as_str().as_bytes())", Text("hash(b\"\")")),
    of(ANSWER, "hash(&request.encode_to_vec())", Text("hash(b\"\")")),
    // What its answer is sealed with.
    of(ANSWER, "[self.caller.as_bytes(), ", Text("[")),
    of(ANSWER, "self.caller.as_bytes(), self.rpc.as_bytes()]", Text("self.caller.as_bytes()]")),
    of(ANSWER, "Aad::from(&self.request_hash)", Everywhere("Aad::empty()")),
    of("shared/database/src/once.rs", "if request_hash != identity.request_hash", Never),
];

const fn of(path: &'static str, from: &'static str, to: Without) -> Check {
    Check { path, from, to }
}

impl Check {
    /// The source without it.
    pub(crate) fn taken_away(&self, root: &Path) -> Mutant {
        let Self { path, from, to } = *self;
        let text = fs::read_to_string(root.join(path)).expect("a source of ours");
        let after = |at: usize| text.split_at(at + from.len()).1.trim_start();
        let is_it = |at: usize| !matches!(to, Before(next) if !after(at).starts_with(next));
        let found = text.match_indices(from).find(|(at, _)| is_it(*at));
        let (at, _) = found.unwrap_or_else(|| panic!("{path} no longer has {from:?} {to:?}"));
        let (to, name) = match to {
            Never => (from.replacen("if ", "if false && ", 1), format!("{path}: never {from}")),
            Text("") => (String::new(), format!("{path}: without {}", from.trim())),
            Before(next) => (String::new(), format!("{path}: without {from} before {next}")),
            Text(to) | Everywhere(to) => {
                (to.to_owned(), format!("{path}: {} for {}", to.trim(), from.trim()))
            }
        };
        let text = if let Everywhere(_) = self.to {
            text.replace(from, &to)
        } else {
            let (before, rest) = text.split_at(at);
            [before, &to, rest.split_at(from.len()).1].concat()
        };
        Mutant { name, path: path.to_owned(), text }
    }
}
