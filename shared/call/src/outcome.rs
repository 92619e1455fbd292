//! How a call ended, told by the layers below to the one that records it.

use std::{
    borrow::Cow,
    error::Error,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use fault::Fault;
use identity::Caller;
use proto::Method;
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::RequestId;

/// Filled in once by whoever knows; shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct Outcome(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    caller: OnceLock<Caller>,
    deadline: OnceLock<Instant>,
    ended: OnceLock<Ended>,
    /// What went wrong after that, with an answer that was there.
    spoilt: OnceLock<Ended>,
    received: AtomicU64,
    sent: AtomicU64,
    /// Those that are not in the log yet. Most calls have none, and no lock is taken for those.
    events: OnceLock<Mutex<Vec<&'static str>>>,
}

/// The end of a call.
#[derive(Debug)]
pub struct Ended {
    /// What the client was told.
    pub code: Code,
    /// What went wrong, for the log alone.
    pub cause: Option<Arc<Status>>,
}

impl Outcome {
    /// Tells who called, once the token has been verified.
    pub fn set_caller(&self, caller: Caller) {
        // The first is the one that was let in.
        let _already_told = self.0.caller.set(caller);
    }

    /// Tells when the call's time is over, once that is known.
    pub fn set_deadline(&self, deadline: Instant) {
        let _already_told = self.0.deadline.set(deadline);
    }

    /// Tells how the call ended; only the first end counts.
    pub fn set_ended(&self, code: Code, cause: Option<Arc<Status>>) {
        let _already_told = self.0.ended.set(Ended { code, cause });
    }

    /// Tells that an answer which was good could not be given after all.
    pub fn set_spoilt(&self, status: Arc<Status>) {
        let ended = Ended { code: status.code(), cause: Some(status) };
        let _already_told = self.0.spoilt.set(ended);
    }

    /// Tells of something that has happened and belongs into the log: who signed in, what was revoked.
    pub fn add_event(&self, event: &'static str) {
        let events = self.0.events.get_or_init(Mutex::default);
        events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// Logs what has happened that is worth a line though nothing went wrong, each of it once: whoever
    /// records the call may have done so before work of its that went on without the caller.
    pub fn log_events(&self, id: RequestId, method: Option<&'static Method>) {
        let Some(events) = self.0.events.get() else { return };
        let events = std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner));
        for event in events {
            tracing::info!(
                request_id = %id,
                rpc = method.map_or("unknown", |method| method.path),
                caller = self.caller().map(Caller::key).as_deref(),
                event,
                "security event"
            );
        }
    }

    /// Counts messages that came in.
    pub fn count_received(&self, messages: u64) {
        self.0.received.fetch_add(messages, Ordering::Relaxed);
    }

    /// Counts messages that went out.
    pub fn count_sent(&self, messages: u64) {
        self.0.sent.fetch_add(messages, Ordering::Relaxed);
    }

    /// Messages in and out.
    pub fn messages(&self) -> (u64, u64) {
        (self.0.received.load(Ordering::Relaxed), self.0.sent.load(Ordering::Relaxed))
    }

    /// Who called, if that was found out.
    pub fn caller(&self) -> Option<&Caller> {
        self.0.caller.get()
    }

    /// When the call's time is over, if that was found out.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline.get().copied()
    }

    /// How the call ended; nothing if nobody was left to hear of it.
    pub fn ended(&self) -> Option<&Ended> {
        self.0.spoilt.get().or_else(|| self.0.ended.get())
    }
}

impl Ended {
    /// Why it failed, as `ErrorInfo.reason` spells it.
    pub fn reason(&self) -> Option<Cow<'static, str>> {
        let fault = self.causes().find_map(|error| error.downcast_ref::<Fault>());
        match fault {
            Some(fault) => Some(Cow::Borrowed(fault.reason().name())),
            // What has come as trailers says it in their details.
            None => self.cause.as_deref().and_then(fault::reason_of).map(Cow::Owned),
        }
    }

    /// What went wrong, from the outside in.
    pub fn chain(&self) -> String {
        self.cause.as_deref().map(|status| fault::chain(status)).unwrap_or_default()
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        self.cause.as_deref().into_iter().flat_map(fault::causes)
    }
}
