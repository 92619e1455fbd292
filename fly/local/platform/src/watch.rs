//! `cargo dev --watch`: builds what changed and runs it anew. Postgres and the issuer stay, and with
//! them data, accounts and tokens.

mod build;
mod child;
mod sources;

use std::{net::SocketAddr, path::Path, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use self::{
    build::Cargo,
    child::{Child, Setting},
    sources::Sources,
};
use crate::{Error, database::Database, report::progress};

/// How long a function may take until it can be called.
const START_MAX: Duration = Duration::from_secs(20);

/// Every function as a process of its own, replaced whenever its sources change.
pub(crate) struct Watched {
    cargo: Cargo,
    sources: Sources,
    program: Program,
    child: Child,
}

/// What is run, and with which settings.
pub(crate) struct Program {
    /// Where apps call.
    pub(crate) address: SocketAddr,
    /// The settings that the platform decides.
    pub(crate) settings: Vec<Setting>,
    /// Migrated before the new binary runs.
    pub(crate) database: Database,
}

impl Program {
    /// Brings the schema to where `binary` wants it, which may be further than this process knows.
    async fn migrate(&self, binary: &Path) -> Result<(), Error> {
        let owner = ["DATABASE_URL", "DATABASE_DIRECT_URL"];
        let owner = owner.map(|name| (name, self.database.owner_url.clone()));
        child::run(binary, "migrate", self.settings.iter().cloned().chain(owner)).await?;
        Ok(self.database.create_role().await?)
    }

    fn start(&self, binary: &Path) -> Result<Child, Error> {
        Child::start(binary, self.settings.iter().cloned())
    }
}

impl Watched {
    /// Builds, starts, and waits until calls are answered.
    pub(crate) async fn start(cargo: Option<&str>, program: Program) -> Result<Self, Error> {
        let cargo = Cargo::of_workspace(cargo.unwrap_or("cargo")).await?;
        // Before the build: what changes during it is built next.
        let sources = Sources::of(cargo.root())?;
        let built = cargo.build().await?;
        program.migrate(&built.binary).await?;
        let mut child = program.start(&built.binary)?;
        child.answers(program.address, START_MAX).await?;
        Ok(Self { cargo, sources, program, child })
    }

    /// Replaces what runs whenever it changes, until `stopped`.
    pub(crate) async fn serve(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut has_ended = false;
        loop {
            tokio::select! {
                // A sender that is gone stops it as well.
                _told = &mut stopped => break,
                () = self.sources.changed() => {}
                status = self.child.ended(), if !has_ended => {
                    has_ended = true;
                    progress(&format!("the functions ended ({status}); waiting for a change"));
                    continue;
                }
            }
            tokio::select! {
                _told = &mut stopped => break,
                replaced = self.replace() => self.tell(replaced),
            }
            has_ended = !self.child.is_running();
        }
        self.child.stop().await;
    }

    fn tell(&mut self, replaced: Result<(), Error>) {
        let Err(error) = replaced else { return };
        let left = if self.child.is_running() { "what ran before runs on" } else { "nothing runs" };
        progress(&format!("{}; {left}", fault::chain(&error)));
    }

    async fn replace(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        let built = self.cargo.build().await?;
        if built.is_same && self.child.is_running() {
            return Ok(());
        }
        self.program.migrate(&built.binary).await?;
        self.child.stop().await;
        self.child = self.program.start(&built.binary)?;
        self.child.answers(self.program.address, START_MAX).await?;
        progress(&format!("the functions run anew, in {:.1} s", start.elapsed().as_secs_f64()));
        Ok(())
    }
}
