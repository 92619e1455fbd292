//! What the house tells its operators: logs and metrics. Handlers see neither.

pub mod logs;
pub mod metrics;
