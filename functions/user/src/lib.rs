//! Who a person is to the app: the profile they chose, and who may see it.
//!
//! Read [`mod@service`] first: one method per RPC. `model` holds the rules, `store` the queries.

pub mod service;
mod model;
mod store;

pub use service::service;
