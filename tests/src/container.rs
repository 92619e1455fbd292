//! A Postgres in a container, for who asks for one: `MAYFLY_TEST_POSTGRES=docker`, and the feature
//! `docker`, with which the crates come that speak to an engine.

#[cfg(feature = "docker")]
mod engine;

#[cfg(feature = "docker")]
pub(crate) use engine::{Container, start};

/// There is none without the feature.
#[cfg(not(feature = "docker"))]
pub(crate) type Container = ();

/// Tells how to get one.
#[cfg(not(feature = "docker"))]
pub(crate) fn start(
    _options: &postgres::Options,
) -> Result<(postgres::Postgres, Container), &'static str> {
    Err("these tests were built without the feature: add --features tests/docker")
}
