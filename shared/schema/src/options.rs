//! How a URL says to reach the database, and what it leaves open.

use std::str::FromStr;

use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};

/// Reads a URL. Unless it says how, the way to another machine is encrypted.
pub fn options(url: &str) -> sqlx::Result<PgConnectOptions> {
    // sqlx would log every statement; failures are logged once, by whoever sees the call fail.
    let options = PgConnectOptions::from_str(url)?.disable_statement_logging();
    // Left to itself it falls back to plain text, which anybody on the way can force.
    if names_ssl_mode(url) || is_local(&options) {
        Ok(options)
    } else {
        Ok(options.ssl_mode(PgSslMode::Require))
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
    use super::*;

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
}
