//! What one call carries from layer to layer and into the handler: one typed extension.
//!
//! The layers fill it in as they learn more; a handler takes it with [`signed_in`].

mod header;
mod hold;
mod onward;
mod outcome;
mod request_id;

use std::{net::IpAddr, ops::Deref};

use fault::{Fault, Reason};
use identity::{Caller, UserId};
use proto::Method;
use tokio::time::Instant;
use tonic::Request;

pub use header::{IdempotencyKey, IdempotencyKeyError, TimeoutError, timeout};
pub use hold::{are_calls_held, hold_calls};
pub use onward::Onward;
pub use outcome::{Ended, Outcome};
pub use request_id::RequestId;

/// One call, as far as it is known.
#[derive(Clone, Debug)]
pub struct Call {
    /// What joins the answer, the log and the trace.
    pub id: RequestId,
    /// The RPC, unless the path is in no contract.
    pub method: Option<&'static Method>,
    /// When the call's time is over.
    pub deadline: Option<Instant>,
    /// Where it comes from, as far as that can be known.
    pub address: Option<IpAddr>,
    /// Who calls, once `authenticate` has seen the token.
    pub caller: Caller,
    /// What makes a repeated call the same call.
    pub idempotency_key: Option<IdempotencyKey>,
    /// What is sent on with the calls that it makes.
    pub onward: Onward,
    /// How it ended, for the layer that records it.
    pub outcome: Outcome,
}

impl Call {
    /// A call that has just arrived.
    pub fn new(id: RequestId, method: Option<&'static Method>) -> Self {
        Self {
            id,
            method,
            deadline: None,
            address: None,
            caller: Caller::Nobody,
            idempotency_key: None,
            onward: Onward::default(),
            outcome: Outcome::default(),
        }
    }

    /// The same call, for work that has until then, whenever its caller leaves.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }
}

/// Splits a request of anybody into the call and what they asked.
pub fn anyone<T>(mut request: Request<T>) -> Result<(Call, T), Fault> {
    let Some(call) = request.extensions_mut().remove::<Call>() else {
        return Err(Fault::internal("a handler was reached without the layers"));
    };
    Ok((call, request.into_inner()))
}

/// A call made by a person.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who they are, by their token and nothing else.
    pub user_id: UserId,
    call: Call,
}

impl SignedIn {
    /// The same call, for work that has until then, whenever its caller leaves.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { user_id: self.user_id.clone(), call: self.call.until(deadline) }
    }
}

impl Deref for SignedIn {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

/// Splits a request into the person's call and what they asked.
pub fn signed_in<T>(request: Request<T>) -> Result<(SignedIn, T), Fault> {
    let (call, message) = anyone(request)?;
    let Some(person) = call.caller.person() else {
        return Err(Reason::TokenMissing.into());
    };
    Ok((SignedIn { user_id: person.user_id.clone(), call }, message))
}
