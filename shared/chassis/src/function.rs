//! A function, as the chassis sees it: a name, and how its service is made.

use std::{convert::Infallible, fmt};

use ::settings::Reader;
use database::Pool;
use layers::{Request, Response};
use proto::Bounded;
use revocation::Revocations;
use tonic::{server::NamedService, service::RoutesBuilder};
use tower::Service;

use crate::Settings;

/// What a function is given to make its service from.
#[derive(Clone, Debug)]
pub struct Context {
    /// The database, as this function may see it.
    pub pool: Pool,
    /// The change log: what can be watched.
    pub changes: changes::Log,
    /// Whose tokens count no longer.
    pub revocations: Revocations,
    /// What the time is.
    pub clock: clock::Clock,
    /// Clients of what is outside this process.
    pub outbound: outbound::Outbound,
}

/// Makes a function's service and puts it among the routes.
type Mount = Box<dyn FnOnce(Context, usize, &mut RoutesBuilder) + Send>;

/// One function: its name, and how its service is made.
pub struct Function {
    /// The name, which its schema, its role and its app share.
    pub name: &'static str,
    /// The full name of the service it serves.
    pub service: &'static str,
    mount: Mount,
}

impl Function {
    /// A function called `name`, whose service `build` makes.
    pub fn new<S>(name: &'static str, build: impl FnOnce(Context) -> S + Send + 'static) -> Self
    where
        S: Service<Request, Response = Response, Error = Infallible>
            + NamedService
            + Bounded
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let mount = |context, message_bytes_max, routes: &mut RoutesBuilder| {
            routes.add_service(build(context).bounded(message_bytes_max));
        };
        Self { name, service: S::NAME, mount: Box::new(mount) }
    }

    /// Puts its service among the routes.
    pub(crate) fn mount(
        self,
        context: Context,
        message_bytes_max: usize,
        routes: &mut RoutesBuilder,
    ) {
        (self.mount)(context, message_bytes_max, routes);
    }

    /// The settings that every function reads, for the documented table.
    pub fn declared_settings() -> Vec<::settings::Declared> {
        Reader::declared(Settings::read)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).finish_non_exhaustive()
    }
}
