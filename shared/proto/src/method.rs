//! What a contract says about an RPC.

use std::time::Duration;

use crate::{Json, METHODS};

/// One RPC as its contract describes it.
#[derive(Debug)]
pub struct Method {
    /// Is what HTTP/2 calls it, such as `/mayfly.user.v1.UserService/GetProfile`.
    pub path: &'static str,
    /// Is its service's full name, such as `mayfly.user.v1.UserService`.
    pub service: &'static str,
    /// Is its own name, such as `GetProfile`.
    pub name: &'static str,
    /// Says which side streams.
    pub kind: Kind,
    /// Says what is promised of it.
    pub rule: Rule,
    /// Translates its messages for those who call it in JSON; absent for streams and for gRPC's own
    /// services, which are not called so.
    pub json: Option<Json>,
    /// Translates its messages one by one, for tools that show them.
    pub messages: Json,
    /// Is its place in [`METHODS`].
    pub index: usize,
}

/// Which side of an RPC streams.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// One request, one answer.
    Unary,
    /// One request, many answers.
    ServerStream,
    /// Many requests, one answer.
    ClientStream,
    /// Many requests, many answers.
    BidiStream,
}

/// What is promised of an RPC. The chassis enforces it, but for priority and rate, which no layer reads
/// yet.
#[derive(Debug)]
pub struct Rule {
    /// Says who may call.
    pub access: Access,
    /// Is the deadline of a call that brings none, and the ceiling of any other.
    /// For a stream it is the maximum age.
    pub deadline: Duration,
    /// Says what a repeated call does.
    pub mutation: Mutation,
    /// Says who is shed first.
    pub priority: Priority,
    /// Bounds each caller; absent only where the callers are functions.
    pub rate: Option<Rate>,
}

/// Who may call an RPC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Anyone, with or without a token.
    Public,
    /// A person with a valid token.
    SignedIn,
    /// A person who holds a role.
    Role {
        /// Are the roles, of which one is enough.
        any_of: &'static [&'static str],
    },
    /// A function, by its own token.
    Service {
        /// Are the names of the functions that may call.
        callers: &'static [&'static str],
    },
}

/// What a repeated call does.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Mutation {
    /// Nothing: the RPC only reads.
    NoSideEffects,
    /// Nothing more: the first answer to its key is given again.
    ExactlyOnce,
    /// Nothing more: what it leaves is the same.
    Idempotent,
    /// Its work once more.
    NotRetryable,
}

/// Who is shed first under load.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Priority {
    /// Shed last.
    Critical,
    /// Shed once what is sheddable is gone.
    Default,
    /// Shed first.
    Sheddable,
}

/// How often one caller may call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// Is the number of calls per second that is sustained; never zero.
    pub per_second: u32,
    /// Is the number of calls that may come at once; never zero.
    pub burst: u32,
}

/// Returns the RPC of a path, such as `/mayfly.user.v1.UserService/GetProfile`.
pub fn method(path: &str) -> Option<&'static Method> {
    let index = METHODS.binary_search_by(|method| method.path.cmp(path)).ok()?;
    Some(METHODS[index])
}

// === impl Method ===

impl Method {
    /// Returns the name of the function that serves it, such as `user`.
    pub fn function(&self) -> &'static str {
        // `mayfly.user.v1.UserService`; the contract's compiler insists on it.
        self.service.split('.').nth(1).unwrap_or(self.service)
    }
}

// === impl Kind ===

impl Kind {
    /// Returns the name that the ecosystem's metrics use in their label `grpc_type`.
    pub fn grpc_type(&self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::ClientStream => "client_stream",
            Self::BidiStream => "bidi_stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_path() {
        for (place, listed) in METHODS.iter().enumerate() {
            let found = method(listed.path).unwrap();

            assert_eq!(found.index, place);
            assert_eq!(found.path, format!("/{}/{}", found.service, found.name));
        }
        assert!(METHODS.is_sorted_by_key(|method| method.path));
    }

    #[test]
    fn an_unknown_path_is_no_method() {
        for path in ["", "/", "/mayfly.user.v1.UserService", "/mayfly.user.v1.UserService/"] {
            assert!(method(path).is_none(), "{path}");
        }
    }

    #[test]
    fn a_rule_is_what_its_contract_says() {
        let create = method("/mayfly.user.v1.UserService/CreateProfile").unwrap();

        assert_eq!(create.kind, Kind::Unary);
        assert_eq!(create.rule.access, Access::SignedIn);
        assert_eq!(create.rule.deadline, Duration::from_secs(5));
        assert_eq!(create.rule.mutation, Mutation::ExactlyOnce);
        assert_eq!(create.rule.priority, Priority::Default);
        assert_eq!(create.rule.rate, Some(Rate { per_second: 1, burst: 10 }));
        assert!(create.json.is_some());

        let list = method("/mayfly.user.v1.UserService/ListProfiles").unwrap();

        assert_eq!(list.rule.mutation, Mutation::NoSideEffects);
        assert_eq!(list.rule.priority, Priority::Sheddable);
    }

    #[test]
    fn the_health_service_is_public_and_shed_last() {
        let watch = method("/grpc.health.v1.Health/Watch").unwrap();

        assert_eq!(watch.kind.grpc_type(), "server_stream");
        assert_eq!(watch.rule.access, Access::Public);
        assert_eq!(watch.rule.priority, Priority::Critical);
        assert!(watch.json.is_none());
    }
}
