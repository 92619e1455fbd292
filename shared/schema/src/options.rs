//! How a URL says to reach the database, and what it leaves open.

use std::str::FromStr;

use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};
use tracing::subscriber::{NoSubscriber, with_default};

/// Reads a URL. Unless it says how, the way to another machine is encrypted.
pub fn options(url: &str) -> sqlx::Result<PgConnectOptions> {
    // sqlx would log a parameter that it does not know with its value, which may be a secret.
    let options = with_default(NoSubscriber::default(), || PgConnectOptions::from_str(url))?;
    // Nor is it to log every statement; failures are logged once, by whoever sees the call fail.
    let options = options.disable_statement_logging();
    if names_ssl_mode(url) || is_local(&options) {
        Ok(options)
    } else {
        let mode = encrypted(options.get_ssl_mode());
        Ok(options.ssl_mode(mode))
    }
}

/// A mode that encrypts: left to itself sqlx falls back to plain text, which anybody on the way can
/// force. One that also asks who is there, which `PGSSLMODE` may have named, stays.
fn encrypted(mode: PgSslMode) -> PgSslMode {
    match mode {
        PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer => PgSslMode::Require,
        PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => mode,
    }
}

fn names_ssl_mode(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut names = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.0));
    names.any(|name| matches!(name, "sslmode" | "ssl-mode"))
}

/// Whether the way to the server stays on this machine or on Fly's own encrypted network.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]")
        || host.ends_with(".internal")
        || host.ends_with(".flycast")
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tracing::{
        Event, Metadata, Subscriber,
        span::{Attributes, Id, Record},
    };

    use super::*;

    /// Counts what is logged.
    #[derive(Default)]
    struct Lines(Arc<AtomicUsize>);

    impl Subscriber for Lines {
        fn enabled(&self, _of: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _span: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _span: &Id, _values: &Record<'_>) {}

        fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

        fn event(&self, _event: &Event<'_>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn enter(&self, _span: &Id) {}

        fn exit(&self, _span: &Id) {}
    }

    fn ssl_mode(url: &str) -> String {
        format!("{:?}", options(url).unwrap().get_ssl_mode())
    }

    #[test]
    fn the_way_to_another_machine_is_encrypted_unless_the_url_says_otherwise() {
        for url in [
            "postgres://u:p@db.example.com/main",
            "postgres://u:sslmode=disable@db.example.com/main",
            "postgres://u:p@localhost.example.com/main?application_name=sslmode%3Ddisable",
            "postgres://u:p@10.0.0.1/main",
        ] {
            assert_eq!(ssl_mode(url), "Require", "{url}");
        }
        assert_eq!(ssl_mode("postgres://u@db.example.com/main?sslmode=disable"), "Disable");
        assert_eq!(ssl_mode("postgres://u@db.example.com/main?ssl-mode=verify-full"), "VerifyFull");
    }

    #[test]
    fn the_way_on_this_machine_and_on_flys_network_need_not_be() {
        for url in [
            "postgres://u@localhost/main",
            "postgres://u@[::1]:5432/main",
            "postgres://u@%2Ftmp%2Fmayfly:5432/main",
            "postgres:///main?host=/tmp/mayfly",
            "postgres://u@db.flycast/main",
            "postgres://u@db.internal:5433/main",
        ] {
            assert_ne!(ssl_mode(url), "Require", "{url}");
        }
    }

    #[test]
    fn a_mode_that_the_environment_names_is_never_weakened() {
        use PgSslMode::{Allow, Disable, Prefer, Require, VerifyCa, VerifyFull};
        let modes = [Disable, Allow, Prefer, Require, VerifyCa, VerifyFull];
        let modes = modes.map(|mode| format!("{:?}", encrypted(mode)));
        assert_eq!(modes, ["Require", "Require", "Require", "Require", "VerifyCa", "VerifyFull"]);
    }

    #[test]
    fn a_parameter_that_is_not_known_is_not_logged_with_its_value() {
        let url = "postgres://u@localhost/main?pasword=hunter2";
        let lines = Arc::new(AtomicUsize::new(0));
        with_default(Lines(Arc::clone(&lines)), || {
            options(url).unwrap();
            assert_eq!(lines.load(Ordering::SeqCst), 0);
            PgConnectOptions::from_str(url).unwrap();
        });
        assert_ne!(lines.load(Ordering::SeqCst), 0, "sqlx by itself logs it");
    }
}
