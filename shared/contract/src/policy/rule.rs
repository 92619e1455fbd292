//! Reads one rule, and refuses what it leaves out or contradicts.

use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage, Value};
use prost_types::{MethodOptions, method_options::IdempotencyLevel};

use crate::refusals::Refusals;

const RULE: &str = "mayfly.policy.v1.rule";
const EXAMPLE: &str = "write option (mayfly.policy.v1.rule) = {signed_in: {} deadline: {seconds: 2} \
                       exactly_once: {} priority: PRIORITY_DEFAULT rate: {per_second: 5 burst: 20}}";

/// What a contract says of an RPC beyond its shape.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) access: Access,
    /// Seconds and nanoseconds.
    pub(crate) deadline: (u64, u32),
    pub(crate) mutation: Mutation,
    pub(crate) priority: &'static str,
    /// Calls per second, and at once.
    pub(crate) rate: Option<(u32, u32)>,
}

#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Access {
    Public,
    SignedIn,
    Role(Vec<String>),
    Service(Vec<String>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mutation {
    NoSideEffects,
    ExactlyOnce,
    Idempotent,
    NotRetryable,
}

/// A rule that is being read.
struct Reader<'a> {
    method: &'a MethodDescriptor,
    rule: DynamicMessage,
    refusals: &'a mut Refusals,
}

// === impl Rule ===

impl Rule {
    /// Reads the rule of an RPC; one that is refused is none.
    pub(crate) fn of(method: &MethodDescriptor, refusals: &mut Refusals) -> Option<Self> {
        let extension = method.parent_pool().get_extension_by_name(RULE);
        let options = method.options();
        let given = extension.filter(|extension| options.has_extension(extension));
        let rule = given.and_then(|given| options.get_extension(&given).as_message().cloned());
        let Some(rule) = rule else {
            refusals.add(method.full_name(), "has no rule", EXAMPLE);
            return None;
        };

        let mut reader = Reader { method, rule, refusals };
        // Each is read before any is missed, so that one build names all that is wrong.
        let (access, deadline) = (reader.access(), reader.deadline());
        let (mutation, priority) = (reader.mutation(), reader.priority());
        let rate = reader.rate(access.as_ref());
        let (access, mutation) = (access?, mutation?);
        reader.exactly_once(&access, mutation);
        reader.service(&access);

        Some(Self { access, deadline: deadline?, mutation, priority: priority?, rate })
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn refuse(&mut self, fault: &str, remedy: &str) {
        self.refusals.add(self.method.full_name(), fault, remedy);
    }

    fn access(&mut self) -> Option<Access> {
        if self.has("public") {
            return Some(Access::Public);
        }
        if self.has("signed_in") {
            return Some(Access::SignedIn);
        }
        if self.has("role") {
            let roles = self.names("role", "any_of");
            if roles.is_empty() {
                self.refuse("admits no role", "write role: {any_of: [\"..\"]}");
            }
            return Some(Access::Role(roles));
        }
        if self.has("service") {
            let callers = self.names("service", "callers");
            if callers.is_empty() {
                self.refuse("admits no service", "write service: {callers: [\"..\"]}");
            }
            return Some(Access::Service(callers));
        }
        let remedy = "write one of public, signed_in, role, service in its rule";
        self.refuse("does not say who may call it", remedy);
        None
    }

    fn deadline(&mut self) -> Option<(u64, u32)> {
        let remedy = "write deadline: {seconds: 2} in its rule";
        let Some(deadline) = self.message("deadline") else {
            self.refuse("has no deadline", remedy);
            return None;
        };
        let seconds = deadline.get_field_by_name("seconds").and_then(|value| value.as_i64());
        let nanos = deadline.get_field_by_name("nanos").and_then(|value| value.as_i32());
        let seconds = u64::try_from(seconds.unwrap_or_default()).ok();
        let nanos = u32::try_from(nanos.unwrap_or_default()).ok();
        match seconds.zip(nanos) {
            Some(deadline) if deadline > (0, 0) && deadline.1 < 1_000_000_000 => Some(deadline),
            _ => {
                self.refuse("has a deadline that is not positive", remedy);
                None
            }
        }
    }

    fn mutation(&mut self) -> Option<Mutation> {
        let options = self.method.options().transcode_to::<MethodOptions>().unwrap_or_default();
        let level = options.idempotency_level();
        let mutation = [
            ("exactly_once", Mutation::ExactlyOnce),
            ("idempotent", Mutation::Idempotent),
            ("not_retryable", Mutation::NotRetryable),
        ];
        let mutation = mutation.into_iter().find(|(name, _)| self.has(name));

        match (mutation, level) {
            (Some((_, mutation)), IdempotencyLevel::IdempotencyUnknown) => Some(mutation),
            (None, IdempotencyLevel::NoSideEffects) => Some(Mutation::NoSideEffects),
            (Some((name, _)), IdempotencyLevel::NoSideEffects) => {
                let fault = format!("says {name} and NO_SIDE_EFFECTS, which exclude each other");
                self.refuse(&fault, "write one of the two");
                None
            }
            (_, IdempotencyLevel::Idempotent) => {
                let remedy = "write idempotent: {} in its rule and no idempotency_level";
                self.refuse("says idempotency_level = IDEMPOTENT beside its rule", remedy);
                None
            }
            (None, IdempotencyLevel::IdempotencyUnknown) => {
                let remedy = "write exactly_once, idempotent or not_retryable in its rule, or \
                              option idempotency_level = NO_SIDE_EFFECTS";
                self.refuse("does not say what a repeated call does", remedy);
                None
            }
        }
    }

    fn priority(&mut self) -> Option<&'static str> {
        let number = self.rule.get_field_by_name("priority").and_then(|v| v.as_enum_number());
        match number {
            Some(1) => Some("Critical"),
            Some(2) => Some("Default"),
            Some(3) => Some("Sheddable"),
            _ => {
                self.refuse("has no priority", "write priority: PRIORITY_DEFAULT in its rule");
                None
            }
        }
    }

    fn rate(&mut self, access: Option<&Access>) -> Option<(u32, u32)> {
        let remedy = "write rate: {per_second: 5 burst: 20} in its rule";
        let Some(rate) = self.message("rate") else {
            if !matches!(access, Some(Access::Service(_))) {
                self.refuse("has no rate", remedy);
            }
            return None;
        };
        let part = |name| rate.get_field_by_name(name).and_then(|value| value.as_u32());
        let (per_second, burst) = part("per_second").zip(part("burst"))?;
        if per_second == 0 || burst == 0 {
            self.refuse("has a rate of zero", remedy);
        }
        Some((per_second, burst))
    }

    fn exactly_once(&mut self, access: &Access, mutation: Mutation) {
        if mutation != Mutation::ExactlyOnce {
            return;
        }
        if *access == Access::Public {
            let fault = "is exactly_once and public, but a key belongs to a caller";
            self.refuse(fault, "write signed_in, role or service in its rule, or not_retryable");
        }
        if self.is_stream() {
            let fault = "is exactly_once and streams, but only a single answer can be kept";
            self.refuse(fault, "write idempotent or not_retryable in its rule");
        }
    }

    /// A stream ends when its person may have it no longer; nothing asks that of a function.
    fn service(&mut self, access: &Access) {
        if matches!(access, Access::Service(_)) && self.is_stream() {
            let fault = "is for services and streams, but would outlive its caller's token";
            self.refuse(fault, "write signed_in or role in its rule, or let it answer at once");
        }
    }

    fn is_stream(&self) -> bool {
        self.method.is_client_streaming() || self.method.is_server_streaming()
    }

    fn has(&self, name: &str) -> bool {
        self.rule.has_field_by_name(name)
    }

    fn message(&self, name: &str) -> Option<DynamicMessage> {
        let field = self.rule.descriptor().get_field_by_name(name)?;
        let given = self.rule.has_field(&field).then(|| self.rule.get_field(&field))?;
        given.as_message().cloned()
    }

    fn names(&self, message: &str, list: &str) -> Vec<String> {
        let message = self.message(message);
        let value = message.as_ref().and_then(|message| message.get_field_by_name(list));
        let items = value.as_deref().and_then(Value::as_list).unwrap_or_default();
        let names = items.iter().filter_map(|item| item.as_str().map(str::to_owned));
        names.filter(|name| !name.is_empty()).collect()
    }
}
