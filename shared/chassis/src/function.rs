//! A function, as the chassis sees it: a name, settings of its own, and how its service is made.

use std::{convert::Infallible, fmt};

use ::settings::{Declared, Reader};
use database::Pool;
use identity::Verifier;
use layers::{Request, Response};
use proto::Bounded;
use revocation::Revocations;
use tonic::server::NamedService;
use tower::Service;

use crate::{Settings, Tasks, services::Services};

/// What a function is given to make its service from.
#[derive(Clone, Debug)]
pub struct Context {
    /// The database, as this function may see it.
    pub pool: Pool,
    /// The change log: what can be watched.
    pub changes: changes::Log,
    /// Whose tokens count no longer.
    pub revocations: Revocations,
    /// Whose a token is that did not come as the caller's.
    pub verifier: Verifier,
    /// What the time is.
    pub clock: clock::Clock,
    /// Clients of what is outside this process.
    pub outbound: outbound::Outbound,
    /// What comes to its end though the caller is gone.
    pub tasks: Tasks,
}

/// Settings that one function has beside those that all have.
pub trait Own: Sized + Send + 'static {
    /// Reads them.
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

/// Most functions have none.
impl Own for () {
    fn read(_reader: &mut Reader<'_>) -> Option<Self> {
        Some(())
    }
}

/// A service that can be served: always ready, as all are that tonic generates.
pub trait Served:
    Service<Request, Response = Response, Error = Infallible, Future: Send + 'static>
    + NamedService
    + Bounded
    + Clone
    + Send
    + Sync
    + 'static
{
}

/// Puts a function's service among those of the process.
type Mount = Box<dyn FnOnce(Context, usize, &mut Services) + Send>;

/// Reads a function's own settings; what follows needs them.
type Read = Box<dyn FnOnce(&mut Reader<'_>) -> Option<Mount> + Send>;

/// One function: its name, its settings, and how its service is made.
pub struct Function {
    /// The name, which its schema, its role and its app share.
    pub name: &'static str,
    /// The full name of the service it serves.
    pub service: &'static str,
    read: Read,
}

/// A function whose own settings are read.
pub struct Ready {
    pub(crate) name: &'static str,
    pub(crate) service: &'static str,
    mount: Mount,
}

// === impl Served ===

impl<S> Served for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send + 'static>
        + NamedService
        + Bounded
        + Clone
        + Send
        + Sync
        + 'static
{
}

// === impl Function ===

impl Function {
    /// A function called `name`, whose service `build` makes of its [`Context`] and of its own
    /// settings.
    pub fn new<T: Own, S: Served>(
        name: &'static str,
        build: impl FnOnce(Context, T) -> S + Send + 'static,
    ) -> Self {
        let read = |reader: &mut Reader<'_>| {
            let own = T::read(reader)?;
            let mount: Mount = Box::new(|context, message_bytes_max, services| {
                services.add(build(context, own).bounded(message_bytes_max));
            });
            Some(mount)
        };
        Self { name, service: S::NAME, read: Box::new(read) }
    }

    /// Reads its own settings.
    pub(crate) fn read(self, reader: &mut Reader<'_>) -> Option<Ready> {
        let Self { name, service, read } = self;
        Some(Ready { name, service, mount: read(reader)? })
    }

    /// The settings that every function reads, for the documented table.
    pub fn declared_settings() -> Vec<Declared> {
        Reader::declared(Settings::read)
    }

    /// The settings that only this one reads, for the documented table.
    pub fn own_settings(self) -> Vec<Declared> {
        Reader::declared(|reader| self.read(reader))
    }
}

impl Ready {
    /// Puts its service among those of the process.
    pub(crate) fn mount(self, context: Context, message_bytes_max: usize, services: &mut Services) {
        (self.mount)(context, message_bytes_max, services);
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("name", &self.name).finish_non_exhaustive()
    }
}
