//! Every function, as it runs: hosted in this process, or watched in one of its own.

use std::net::SocketAddr;

use ::settings::{Env, Reader};
use chassis::{Ready, Server, Settings};
use clock::Clock;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    Error,
    database::Database,
    running::direct_url,
    watch::{Program, Watched},
};

/// How long calls under way may hold up what replaces them, unless the environment says otherwise.
const DRAIN_SECS: &str = "2";

/// What the platform decides for its functions, over what the environment says.
pub(crate) struct Decided {
    /// Where apps call.
    pub(crate) address: SocketAddr,
    /// Where operators look.
    pub(crate) internal_address: SocketAddr,
    /// Where the data is.
    pub(crate) database: Database,
    /// Whose tokens are good.
    pub(crate) project: String,
    /// Where the keys of those tokens are, and of the functions' own.
    pub(crate) keys_url: String,
    /// Where accounts are, and sign-ins are continued.
    pub(crate) issuer_url: String,
    /// Who signs the functions' own.
    pub(crate) service_issuer: String,
    /// Who administers the accounts: a key file.
    pub(crate) service_account: String,
}

impl Decided {
    fn settings(&self, env: &Env) -> Vec<(&'static str, String)> {
        let Self { address, internal_address, database, project, .. } = self;
        let Self { keys_url, issuer_url, service_issuer, service_account, .. } = self;
        let direct_url = direct_url(env).unwrap_or(&database.runtime_url);
        vec![
            ("LISTEN_ADDR", address.to_string()),
            ("METRICS_ADDR", internal_address.to_string()),
            ("DATABASE_URL", database.runtime_url.clone()),
            ("DATABASE_DIRECT_URL", direct_url.to_owned()),
            ("FIREBASE_PROJECT_ID", project.clone()),
            ("JWKS_URL", keys_url.clone()),
            ("IDENTITY_TOOLKIT_URL", issuer_url.clone()),
            ("SECURE_TOKEN_URL", issuer_url.clone()),
            // The local issuer takes any key.
            ("FIREBASE_API_KEY", "any".to_owned()),
            ("FIREBASE_SERVICE_ACCOUNT", service_account.clone()),
            ("SERVICE_ISSUER", service_issuer.clone()),
            ("SERVICE_JWKS_URL", keys_url.clone()),
            ("SERVICE_TOKEN_URL", issuer_url.clone()),
        ]
    }
}

/// Functions that run until they are stopped.
#[derive(Debug)]
pub(crate) struct Functions {
    /// Where apps call.
    pub(crate) address: SocketAddr,
    /// Where operators look.
    pub(crate) internal_address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Functions {
    /// Serves them in this process.
    pub(crate) fn host(env: &Env, decided: &Decided) -> Result<Self, Error> {
        let (settings, functions) = read(env, decided)?;
        telemetry::logs::start(&settings.logs)?;
        let bound = Server::bind(&settings, functions, &Clock::system())?;
        let (address, internal_address) = (bound.address(), bound.internal_address());
        let (stop, stopped) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "the server is what drains; `stop` joins it")]
        let serving = tokio::spawn(async {
            // A sender that is gone stops the server as well.
            let _ended = bound.serve(async { drop(stopped.await) }).await;
        });
        Ok(Self { address, internal_address, stop, serving })
    }

    /// Builds them and serves them in a process of their own, which is replaced when they change.
    pub(crate) async fn watch(env: &Env, decided: Decided) -> Result<Self, Error> {
        // What is wrong is told before anything is built. The issuer's lines are logged here.
        telemetry::logs::start(&read(env, &decided)?.0.logs)?;
        let mut settings = decided.settings(env);
        settings.push(("DRAIN_SECS", env.get("DRAIN_SECS").unwrap_or(DRAIN_SECS).to_owned()));
        let Decided { address, internal_address, database, .. } = decided;
        let program = Program { address, settings, database };
        let watched = Watched::start(env.get("CARGO"), program).await?;
        let (stop, stopped) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "`stop` joins it")]
        let serving = tokio::spawn(watched.serve(stopped));
        Ok(Self { address, internal_address, stop, serving })
    }

    /// Drains them.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        Ok(self.serving.await?)
    }
}

/// The functions' settings: the environment's, but for what the platform decides.
fn read(env: &Env, decided: &Decided) -> Result<(Settings, Vec<Ready>), Error> {
    let settings = decided.settings(env).into_iter();
    let env = settings.fold(env.clone(), |env, (name, value)| env.with(name, value));
    let read = |reader: &mut Reader<'_>| Settings::read_for(all::functions(), reader);
    Reader::new(&env).finish(read).map_err(Error::Settings)
}
