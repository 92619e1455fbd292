//! Puts a process together: its services, what each is given, and what stands before them.

use std::{fmt, sync::Arc};

use clock::Clock;
use database::{Pool, Standing};
use identity::{Provider, ServiceName, Verifier};
use layers::{Inbound, inbound};
use outbound::Outbound;
use proto::{Bounded, grpc::health::v1::health_server::HealthServer};
use revocation::Revocations;
use telemetry::{logs, metrics::Metrics};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Context, Ready, Settings, Tasks,
    connection::Connections,
    health::Liveness,
    internal::Internal,
    reflection::Reflection,
    server::{CROSSING_MAX, LAME_DUCK},
    services::Services,
    watchdog::Pulses,
};

/// What a server runs, and what it ends.
pub(crate) struct Parts {
    pub(crate) connections: Connections,
    pub(crate) internal: Internal,
    pub(crate) pools: Arc<[(&'static str, Pool)]>,
    pub(crate) tasks: TaskTracker,
    /// What calls have begun and left.
    pub(crate) left: Tasks,
    /// Calls under way end now, with a last word.
    pub(crate) cut: CancellationToken,
    pub(crate) pulses: Pulses,
}

impl Parts {
    pub(crate) fn new(settings: &Settings, functions: Vec<Ready>, clock: &Clock) -> Self {
        let tasks = TaskTracker::new();
        let services: Arc<[_]> = functions.iter().map(|function| function.service).collect();
        let metrics = Metrics::new(|service| match service {
            Liveness::SERVICE => true,
            Reflection::SERVICE => settings.is_reflecting,
            service => services.contains(&service),
        });
        let liveness = Liveness::new(Arc::clone(&services));
        let mut served = own_services(settings, &liveness, &services);
        let process = of_process(settings, &functions, &metrics, clock, &tasks);
        count(&metrics, &process);
        let pools = functions.into_iter().map(|function| {
            let name = function.name;
            let context = context_of(name, &process, settings, &tasks);
            let pool = context.pool.clone();
            function.mount(context, settings.limits.message_bytes_max, &mut served);
            (name, pool)
        });
        let pools: Arc<[_]> = pools.collect();
        let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
        let layers = layers_of(&process, settings, &metrics, &drain, &cut);
        let connections = Connections {
            limits: settings.limits,
            tls: settings.tls.clone(),
            stack: inbound(&layers, served),
            liveness: liveness.clone(),
            drain,
            end: CancellationToken::new(),
        };
        let Context { verifier, revocations, tasks: left, .. } = process;
        let internal =
            Internal { metrics, liveness, verifier, revocations, pools: Arc::clone(&pools) };
        Self { connections, internal, pools, tasks, left, cut, pulses: Pulses::default() }
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("pools", &self.pools).finish_non_exhaustive()
    }
}

/// The services that every process has.
fn own_services(settings: &Settings, liveness: &Liveness, services: &[&'static str]) -> Services {
    let mut own = Services::default();
    let health = HealthServer::new(liveness.clone());
    own.add(health.bounded(Liveness::QUESTION_BYTES_MAX));
    if settings.is_reflecting {
        let own_names = [Liveness::SERVICE, Reflection::SERVICE];
        own.add(Reflection::new(services.iter().copied().chain(own_names)).server());
    }
    own
}

/// What the process itself has, of which every function has a part.
fn of_process(
    settings: &Settings,
    functions: &[Ready],
    metrics: &Metrics,
    clock: &Clock,
    tasks: &TaskTracker,
) -> Context {
    let pool = own_pool(settings, functions, clock, tasks);
    let hub = changes::Hub::new(&settings.database, clock.clone(), tasks.clone());
    let (clock, tasks) = (clock.clone(), tasks.clone());
    Context {
        changes: changes::Log::new(pool.clone(), hub),
        revocations: Revocations::new(
            &settings.revocation,
            pool.clone(),
            clock.clone(),
            tasks.clone(),
        ),
        verifier: Verifier::new(&settings.identity, clock.clone(), tasks),
        outbound: Outbound::new(settings.outbound, metrics, clock.clone()),
        tasks: Tasks::new(settings.limits.calls_max),
        pool,
        clock,
    }
}

/// The one connection of the process itself, as one of its functions, over which it reads the
/// revocations.
fn own_pool(settings: &Settings, functions: &[Ready], clock: &Clock, tasks: &TaskTracker) -> Pool {
    let function = functions.first().map_or("", |function| function.name);
    let one = database::Settings { connections_max: 1, ..settings.database.clone() };
    Pool::new(&one, function, clock.clone(), tasks.clone())
}

/// What one function is given.
fn context_of(
    function: &str,
    process: &Context,
    settings: &Settings,
    tasks: &TaskTracker,
) -> Context {
    let pool = process.pool.beside(&settings.database, function);
    let changes = process.changes.over(pool.clone());
    let outbound = of_function(function, process, settings, tasks);
    Context { pool, changes, outbound, ..process.clone() }
}

/// Clients of what is outside, for one function: those it calls know it by its own token.
fn of_function(
    function: &str,
    process: &Context,
    settings: &Settings,
    tasks: &TaskTracker,
) -> Outbound {
    let Context { outbound, clock, .. } = process;
    match (ServiceName::parse(function), &settings.identity.service_tokens) {
        (Some(name), Some(source)) => {
            outbound.showing(Provider::new(name, source.clone(), clock.clone(), tasks.clone()))
        }
        _ => outbound.clone(),
    }
}

/// What the layers need to know.
fn layers_of(
    process: &Context,
    settings: &Settings,
    metrics: &Metrics,
    drain: &CancellationToken,
    cut: &CancellationToken,
) -> Inbound {
    let limits = settings.limits;
    Inbound {
        metrics: metrics.clone(),
        origins: settings.origins.clone(),
        proxy: settings.proxy,
        verifier: process.verifier.clone(),
        revocations: process.revocations.clone(),
        deadline_max: limits.deadline_max,
        drain: drain.clone(),
        cut: cut.clone(),
        drain_max: limits.drain_max.saturating_sub(LAME_DUCK + CROSSING_MAX),
        body_idle_max: limits.body_idle_max,
        calls_max: limits.calls_max,
        watches_max: limits.watches_max,
        message_bytes_max: limits.message_bytes_max,
        contract: proto::method,
    }
}

/// What is counted below the layers, where nobody knows of metrics.
fn count(metrics: &Metrics, process: &Context) {
    let of = process.pool.clone();
    let help = "0 it takes connections, 1 no more of them, 2 down";
    metrics.register_shown("database_state", help, move || match of.state().standing {
        Standing::Up => 0,
        Standing::Full => 1,
        Standing::Down => 2,
    });
    let of = process.verifier.clone();
    let help = "Fetches of token keys started";
    metrics.register_counted("jwks_refreshes", help, move || of.fetches_total());
    let of = process.verifier.clone();
    let help = "Fetches of token keys that failed";
    metrics.register_counted("jwks_refresh_failures", help, move || of.fetch_failures_total());
    let help = "Log lines dropped because they could not be written";
    metrics.register_counted("log_lines_dropped", help, logs::dropped_total);
    let of = process.revocations.clone();
    let help = "Reads of the revocations begun";
    metrics.register_counted("revocation_reads", help, move || of.reads_total());
    let of = process.revocations.clone();
    let help = "Reads of the revocations that failed";
    metrics.register_counted("revocation_read_failures", help, move || of.read_failures_total());
}
