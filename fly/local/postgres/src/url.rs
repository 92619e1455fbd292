//! URLs of databases, as sqlx and libpq both read them.

use std::{os::unix::ffi::OsStrExt, path::Path};

use crate::Error;

/// Who owns a server that was started here.
pub(crate) const SUPERUSER: &str = "postgres";

/// Refuses what is not a URL of Postgres.
pub(crate) fn check(url: &str) -> Result<(), Error> {
    Parts::of(url).map(|_| ()).ok_or(Error::Url)
}

/// The same URL with another database, and with another user if one is named.
pub(crate) fn with(url: &str, role: Option<&str>, database: &str) -> String {
    // Only a URL that was checked gets here; another is left as it is.
    let Some(Parts { scheme, user, password, host, query }) = Parts::of(url) else {
        return url.to_owned();
    };
    let user = role.map_or_else(|| user.to_owned(), |role| escape(role.as_bytes()));
    let password = password.map(|password| format!(":{password}")).unwrap_or_default();
    let at = if user.is_empty() && password.is_empty() { "" } else { "@" };
    let query =
        query_without(query, if role.is_some() { &["dbname", "user"] } else { &["dbname"] });
    format!("{scheme}://{user}{password}{at}{host}/{}{query}", escape(database.as_bytes()))
}

/// The URL of a database behind the unix socket in `sockets`.
pub(crate) fn of_socket(sockets: &Path, role: Option<&str>, database: &str) -> String {
    let role = escape(role.unwrap_or(SUPERUSER).as_bytes());
    let host = escape(sockets.as_os_str().as_bytes());
    format!("postgres://{role}@{host}:5432/{}", escape(database.as_bytes()))
}

struct Parts<'a> {
    scheme: &'a str,
    user: &'a str,
    password: Option<&'a str>,
    host: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        if !matches!(scheme, "postgres" | "postgresql") || rest.contains(char::is_whitespace) {
            return None;
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = rest.split_once('/').map_or(rest, |(authority, _)| authority);
        let (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match userinfo.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (userinfo, None),
        };
        Some(Self { scheme, user, password, host, query })
    }
}

/// Drops the parameters that would win over what the URL itself says.
fn query_without(query: &str, names: &[&str]) -> String {
    let name = |pair: &str| pair.split_once('=').map_or(pair, |(name, _)| name).to_owned();
    let kept = query.split('&').filter(|pair| !pair.is_empty());
    let kept: Vec<_> = kept.filter(|pair| !names.contains(&name(pair).as_str())).collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}

fn escape(bytes: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let escaped = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    bytes.iter().copied().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_url_keeps_everything_but_the_database_and_the_user() {
        let given =
            "postgresql://owner:p%40ss@db.internal:6543/main?sslmode=require&user=x&dbname=y";
        assert_eq!(
            with(given, Some("a b"), "t/1"),
            "postgresql://a%20b:p%40ss@db.internal:6543/t%2F1?sslmode=require"
        );
        assert_eq!(
            with(given, None, "other"),
            "postgresql://owner:p%40ss@db.internal:6543/other?sslmode=require&user=x"
        );
    }

    #[test]
    fn a_short_url_is_completed() {
        assert_eq!(with("postgres://localhost", None, "x"), "postgres://localhost/x");
        assert_eq!(with("postgres:///?host=/run", Some("r"), "x"), "postgres://r@/x?host=/run");
        assert_eq!(with("postgres://[::1]:5/a", None, "x"), "postgres://[::1]:5/x");
    }

    #[test]
    fn a_socket_is_a_host_with_slashes_escaped() {
        assert_eq!(
            of_socket(Path::new("/tmp/mayfly-1"), None, "mayfly"),
            "postgres://postgres@%2Ftmp%2Fmayfly-1:5432/mayfly"
        );
    }

    #[test]
    fn another_scheme_is_refused_without_repeating_it() {
        for url in ["mysql://u:secret@h/d", "localhost:5432/secret", "postgres:secret", ""] {
            let said = check(url).unwrap_err().to_string();
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
