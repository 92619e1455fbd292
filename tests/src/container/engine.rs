//! The container, by testcontainers.

use std::{
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use postgres::{Options, Postgres, find_or_start};
use testcontainers_modules::{
    postgres::Postgres as Image,
    testcontainers::{
        ImageExt, TestcontainersError, core::IntoContainerPort, runners::AsyncRunner,
    },
};
use tokio::runtime::Builder;

/// The version that is deployed with: `compose.yaml` names the same.
const TAG: &str = "17.6-alpine";

const PORT: u16 = 5432;

/// How long the image may take to come, and the server to be ready.
const START_MAX: Duration = Duration::from_mins(5);

/// Removes the container once standard input is closed, however its other end goes.
const KEEPER: &str = "read -r _; exec docker rm --force --volumes \"$1\" >/dev/null";

/// A container, for as long as this process runs.
#[derive(Debug)]
pub(crate) struct Container {
    _keeper: Child,
}

/// Starts a server as `options` ask for it; a machine without a Docker engine fails here.
pub(crate) fn start(options: &Options) -> Result<(Postgres, Container), String> {
    let (tell, told) = mpsc::channel();
    let connections_max = options.connections_max;
    // Its runtime goes on: the container is removed when its handle is dropped.
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let container = run(connections_max).await;
            let place = match &container {
                Ok(container) => match container.get_host_port_ipv4(PORT.tcp()).await {
                    Ok(port) => Ok((container.id().to_owned(), port)),
                    Err(error) => Err(error.to_string()),
                },
                Err(error) => Err(error.to_string()),
            };
            tell.send(place).expect("the world waits");
            std::future::pending::<()>().await;
        });
    });
    let (id, port) = told.recv().map_err(|_ended| "its thread has ended".to_owned())??;
    let keeper = Command::new("/bin/sh")
        .args(["-c", KEEPER, "keeper", &id])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let url = Some(format!("postgres://postgres@127.0.0.1:{port}/postgres"));
    let postgres = find_or_start(&Options { url, ..options.clone() });
    Ok((postgres.map_err(|error| error.to_string())?, Container { _keeper: keeper }))
}

async fn run(
    connections_max: u32,
) -> Result<testcontainers_modules::testcontainers::ContainerAsync<Image>, TestcontainersError> {
    let connections = format!("max_connections={connections_max}");
    // Nothing here outlives the tests, so that nobody waits for a disk.
    let settings = [&connections, "fsync=off", "full_page_writes=off", "synchronous_commit=off"];
    Image::default()
        .with_host_auth()
        .with_tag(TAG)
        .with_cmd(settings.iter().flat_map(|setting| ["-c", *setting]))
        .with_startup_timeout(START_MAX)
        .start()
        .await
}
