//! The RPCs of the contracts, by the names that one types.

use std::{fmt::Write, time::Duration};

use proto::{Access, Kind, METHODS, Method, Mutation};

/// Finds an RPC: `user.GetProfile`, `GetProfile`, or by its full name with either separator.
pub(crate) fn find(name: &str) -> Result<&'static Method, String> {
    let full = name.trim_start_matches('/');
    let is_it = |method: &Method| {
        let (service, own) = full.rsplit_once(['/', '.']).unwrap_or_default();
        (method.service == service && method.name == own)
            || short(method) == name
            || method.name == name
    };
    let mut found = METHODS.iter().filter(|method| is_it(method));
    match (found.next(), found.next()) {
        (Some(method), None) => Ok(method),
        (None, _) => Err(format!("there is no RPC {name:?}; --list tells them all")),
        (Some(one), Some(other)) => Err(format!("{name:?} may be {} or {}", one.path, other.path)),
    }
}

/// Returns what one types: `user.GetProfile` of ours, and the full name of others'.
fn short(method: &Method) -> String {
    let ours = method.service.strip_prefix("mayfly.").and_then(|rest| rest.split('.').next());
    match ours {
        Some(function) => format!("{function}.{}", method.name),
        None => method.path.trim_start_matches('/').to_owned(),
    }
}

/// Tells every RPC with who may call it, its deadline, and what a repeat does.
pub(crate) fn list() -> String {
    let mut out = String::new();
    let width = METHODS.iter().map(|method| short(method).len()).max().unwrap_or_default();
    for method in METHODS {
        let rule = &method.rule;
        let (name, deadline) = (short(method), lasting(rule.deadline));
        let (access, mutation) = (access(&rule.access), mutation(rule.mutation));
        let kind = match method.kind {
            Kind::Unary => "",
            Kind::ServerStream => "  answers a stream",
            Kind::ClientStream => "  takes a stream",
            Kind::BidiStream => "  takes and answers a stream",
        };
        writeln!(out, "{name:width$}  {access:<12}  {deadline:>6}  {mutation:<13}{kind}")
            .expect("a string takes whatever is written to it");
    }
    let lines = out.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

fn access(access: &Access) -> String {
    match access {
        Access::Public => "public".to_owned(),
        Access::SignedIn => "signed in".to_owned(),
        Access::Role { any_of } => format!("role {}", any_of.join(" or ")),
        Access::Service { callers } => format!("service {}", callers.join(" or ")),
    }
}

fn mutation(mutation: Mutation) -> &'static str {
    match mutation {
        Mutation::NoSideEffects => "reads",
        Mutation::ExactlyOnce => "exactly once",
        Mutation::Idempotent => "idempotent",
        Mutation::NotRetryable => "not retryable",
    }
}

fn lasting(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (seconds, 0) if seconds >= 3600 && seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        (seconds, 0) if seconds >= 60 && seconds % 60 == 0 => format!("{} min", seconds / 60),
        (seconds, 0) => format!("{seconds} s"),
        _ => format!("{} ms", time.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rpc_has_several_names() {
        for name in [
            "user.GetProfile",
            "GetProfile",
            "mayfly.user.v1.UserService/GetProfile",
            "/mayfly.user.v1.UserService/GetProfile",
            "mayfly.user.v1.UserService.GetProfile",
        ] {
            assert_eq!(find(name).unwrap().name, "GetProfile", "{name}");
        }
        assert_eq!(find("grpc.health.v1.Health/Check").unwrap().name, "Check");
        for name in ["", "/", ".", "user", "user.", "user.getProfile", "Profile"] {
            assert!(find(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn every_rpc_is_listed_under_a_name_that_finds_it() {
        let list = list();
        assert_eq!(list.lines().count(), METHODS.len());
        for (line, method) in list.lines().zip(METHODS) {
            let name = line.split_whitespace().next().unwrap();
            assert_eq!(find(name).unwrap().path, method.path, "{line}");
        }
        let create = list.lines().find(|line| line.starts_with("user.CreateProfile")).unwrap();
        let words: Vec<_> = create.split_whitespace().skip(1).collect();
        assert_eq!(words.join(" "), "signed in 5 s exactly once");
    }
}
