//! Calls that leave the process: to HTTP services of others, and to functions of ours.
//!
//! Whoever is called is a dependency with a name. Each has one circuit breaker and one budget of
//! retries, shared by everybody in the process, and every call to it goes through one stack, which
//! stands in `dependency.rs`: what is left of the deadline, retries, the breaker, the attempt's own
//! time. [`Outbound`] makes clients of dependencies: [`Http`] for HTTP services, [`Function`] for our own.
//!
//! ```no_run
//! # async fn example(outbound: outbound::Outbound, call: call::Call) -> Result<(), outbound::Error> {
//! let base = outbound::Url::parse("https://identitytoolkit.googleapis.com").expect("a URL");
//! let toolkit = outbound.http("identity-toolkit", base);
//! let request = outbound::Request::post("/v1/accounts:lookup")
//!     .query("key", "an API key")
//!     .json(&serde_json::json!({ "idToken": "a token" }))
//!     .repeatable();
//! let answer = toolkit.call(&call, &request).await?;
//! assert!(answer.status.is_success());
//! # Ok(())
//! # }
//! ```

mod settings;
mod error;
mod request;
mod http_client;
mod function;
mod link;
mod kept;
mod dependency;
mod schedule;
mod budget;
mod breaker;
mod gate;
mod pushback;
mod series;

#[cfg(test)]
mod simulation;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use clock::Clock;
use identity::Provider;
use telemetry::metrics::Metrics;

use crate::{dependency::Dependency, series::Families};
#[cfg(fuzzing)]
pub mod fuzzing;

pub use crate::{
    error::{Error, Sent, Told},
    function::Function,
    http_client::{ANSWER_BYTES_MAX, Answer, Http},
    link::Link,
    request::Request,
    settings::Settings,
};
pub use reqwest::Url;
pub use tonic::transport::Uri;

/// Makes clients of dependencies. Clones share what is known of each.
#[derive(Clone, Debug)]
pub struct Outbound {
    shared: Arc<Shared>,
    /// By what the functions that are called know who calls them.
    tokens: Option<Arc<Provider>>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    families: Families,
    clock: Clock,
    dependencies: Mutex<BTreeMap<&'static str, Arc<Dependency>>>,
}

impl Outbound {
    /// Clients that are counted in `metrics`. The functions that they call are shown no token.
    pub fn new(settings: Settings, metrics: &Metrics, clock: Clock) -> Self {
        let (families, dependencies) = (Families::register(metrics), Mutex::default());
        let shared = Shared { settings, families, clock, dependencies };
        Self { shared: Arc::new(shared), tokens: None }
    }

    /// The same for one function of the process, whose own tokens are shown to the functions that
    /// it calls. Breakers and budgets stay those of the process.
    #[must_use]
    pub fn showing(&self, tokens: Provider) -> Self {
        Self { shared: Arc::clone(&self.shared), tokens: Some(Arc::new(tokens)) }
    }

    /// A client of the HTTP service at `base`, under which all of its paths are. `base` comes from
    /// a setting or a constant, never from a caller.
    pub fn http(&self, name: &'static str, base: Url) -> Http {
        Http::new(self.dependency(name), base, self.shared.clock.clone())
    }

    /// A client of the function `name` at `address`, such as `http://mayfly-user.flycast`. The name
    /// is the function's own: our tokens are for whoever is called so.
    pub fn function(&self, name: &'static str, address: Uri) -> Function {
        let clock = self.shared.clock.clone();
        Function::new(self.dependency(name), address, clock, self.tokens.clone())
    }

    /// The dependency of this name: who calls it by the same name shares its breaker.
    fn dependency(&self, name: &'static str) -> Arc<Dependency> {
        let Shared { settings, families, dependencies, .. } = &*self.shared;
        let mut known = dependencies.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Dependency::new(name, *settings, families.of(name)));
        Arc::clone(known.entry(name).or_insert_with(made))
    }
}
