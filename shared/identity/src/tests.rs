//! The whole of it against a key server on this machine.

mod tokens;
mod shapes;
mod support;
mod hostile_tokens;
mod good_tokens;
mod hostile_keys;
mod outages;
mod properties;
mod services;
