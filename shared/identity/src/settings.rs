//! Which tokens are ours, and where their keys are.

use std::{net::IpAddr, time::Duration};

use reqwest::Url;
use settings::{Need, Reader, Setting};

use crate::{ServiceName, TokenSource};

/// Where a machine on Fly has its tokens signed.
const FLY_SOCKET: &str = "/.fly/api";

const GOOGLE_ISSUER: &str = "https://securetoken.google.com/";
const GOOGLE_KEYS: &str =
    "https://www.googleapis.com/robot/v1/metadata/jwk/securetoken@system.gserviceaccount.com";

/// Which tokens are ours, and where their keys are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `FIREBASE_PROJECT_ID`: what a token's `aud` must be.
    pub project_id: String,
    /// `TOKEN_ISSUER`: what a token's `iss` must be; Google's for the project unless set.
    pub issuer: String,
    /// `JWKS_URL`: where the keys are; Google's unless set.
    pub keys_url: Url,
    /// `TOKEN_SKEW_SECS`: how far the issuer's clock and ours may be apart.
    pub skew: Duration,
    /// `JWKS_STALE_SECS_MAX`: how long keys are used after they were last fetched.
    pub stale_max: Duration,
    /// Whose service tokens are good; without it nobody's are.
    pub services: Option<ServiceSettings>,
    /// `SERVICE_TOKEN_URL`: whatever signs our own tokens, where we call others.
    pub service_tokens: Option<TokenSource>,
}

/// Which service tokens are ours, and where their keys are.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// `SERVICE_ISSUER`: what a service token's `iss` must be.
    pub issuer: String,
    /// `SERVICE_JWKS_URL`: where its keys are; below the issuer unless set.
    pub keys_url: Url,
    /// `SERVICE_APP_PREFIX`: what the names of our apps begin with, before `-<function>`.
    pub app_prefix: Option<String>,
}

impl Settings {
    /// Reads them.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let project_id = reader.read(
            Setting {
                name: "FIREBASE_PROJECT_ID",
                need: Need::Required,
                expects: "6 to 30 of a-z, 0-9 and -",
                about: "the Firebase project whose people may sign in",
            },
            project_id,
        );
        let mut person_issuer = None;
        let issuer = reader.maybe(
            Setting {
                name: "TOKEN_ISSUER",
                need: Need::Optional,
                expects: "an https URL, or http on this machine",
                about: "who signs the tokens; unset, https://securetoken.google.com/<project>",
            },
            // The token's claim is compared letter by letter, so the text is kept as it is.
            |text| {
                person_issuer = Some(text.to_owned());
                safe_url(text).map(|_good| text.to_owned())
            },
        );
        let keys_url = reader.read(
            Setting {
                name: "JWKS_URL",
                need: Need::Default(GOOGLE_KEYS),
                expects: "an https URL, or http on this machine",
                about: "where the keys of the tokens are, as JWK or as certificates",
            },
            safe_url,
        );
        let skew = reader.secs(
            "TOKEN_SKEW_SECS",
            "30",
            0..=300,
            "how far the issuer's clock and ours may be apart",
        );
        let stale_max = reader.secs(
            "JWKS_STALE_SECS_MAX",
            "21600",
            1..=604_800,
            "how long the keys are used after they were last fetched",
        );
        let services = ServiceSettings::read(reader, person_issuer.as_deref());
        let on_fly = reader.is_set("FLY_APP_NAME").then(|| TokenSource::Socket(FLY_SOCKET.into()));
        let service_tokens = reader.maybe(
            Setting {
                name: "SERVICE_TOKEN_URL",
                need: Need::Optional,
                expects: "unix: and a path, or an http URL on this machine",
                about: "whatever signs this function's own tokens, which it shows to functions that \
                        it calls; unset, unix:/.fly/api on Fly, and else it shows none",
            },
            token_source,
        );
        let project_id = project_id?;
        let issuer = issuer?.unwrap_or_else(|| format!("{GOOGLE_ISSUER}{project_id}"));
        let (keys_url, skew, stale_max) = (keys_url?, skew?, stale_max?);
        let (services, service_tokens) = (services?, service_tokens?.or(on_fly));
        Some(Self { project_id, issuer, keys_url, skew, stale_max, services, service_tokens })
    }
}

impl ServiceSettings {
    /// Reads them; they are off without an issuer, and an issuer of persons is none of services.
    #[expect(clippy::option_option, reason = "as a reader answers: a fault, and absence")]
    fn read(reader: &mut Reader<'_>, person_issuer: Option<&str>) -> Option<Option<Self>> {
        let issuer = Setting {
            name: "SERVICE_ISSUER",
            need: Need::Optional,
            expects: "an https URL, or http on this machine, other than TOKEN_ISSUER",
            about: "who signs the tokens of our own functions, on Fly \
                    https://oidc.fly.io/<organisation>; unset, no function may call another",
        };
        let issuer = reader.maybe(issuer, |text| {
            let is_other = Some(text) != person_issuer && !text.starts_with(GOOGLE_ISSUER);
            safe_url(text).filter(|_url| is_other).map(|_good| text.to_owned())
        });
        let keys_url = Setting {
            name: "SERVICE_JWKS_URL",
            need: Need::Optional,
            expects: "an https URL, or http on this machine",
            about: "where the keys of those tokens are; unset, /.well-known/jwks below the issuer",
        };
        let keys_url = reader.maybe(keys_url, safe_url);
        let app_prefix = Setting {
            name: "SERVICE_APP_PREFIX",
            need: Need::Optional,
            expects: "1 to 62 of a-z, 0-9 and -",
            about: "what the names of our apps on Fly begin with, before -<function>; unset, \
                    a token names the function itself",
        };
        let app_prefix = reader.maybe(app_prefix, |text| {
            let name = ServiceName::parse(text).filter(|_name| text.len() < ServiceName::CHARS_MAX);
            name.map(|_good| text.to_owned())
        });
        let (issuer, keys_url, app_prefix) = (issuer?, keys_url?, app_prefix?);
        let Some(issuer) = issuer else { return Some(None) };
        let below = || safe_url(&format!("{}/.well-known/jwks", issuer.trim_end_matches('/')));
        let keys_url = keys_url.or_else(below)?;
        Some(Some(Self { issuer, keys_url, app_prefix }))
    }
}

fn project_id(text: &str) -> Option<String> {
    let of_id = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let good = (6..=30).contains(&text.len()) && text.bytes().all(of_id);
    good.then(|| text.to_owned())
}

/// Reads where tokens are signed: never beyond this machine, where anybody could ask for them.
fn token_source(text: &str) -> Option<TokenSource> {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/').then(|| TokenSource::Socket(path.into()));
    }
    let url = safe_url(text).filter(|url| url.host_str().is_some_and(is_this_machine))?;
    Some(TokenSource::Issuer(url))
}

/// Reads a URL that nobody on the way can change the answer of: https, or http on this machine.
pub fn safe_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let safe = match url.scheme() {
        "https" => true,
        "http" => url.host_str().is_some_and(is_this_machine),
        _ => false,
    };
    // A name or a password would end up in logs.
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (safe && plain).then_some(url)
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use settings::Env;

    use super::*;

    fn read(env: &Env) -> Result<Settings, String> {
        Reader::new(env).finish(Settings::read).map_err(|problems| problems.to_string())
    }

    fn project() -> Env {
        Env::of([("FIREBASE_PROJECT_ID", "demo-x")])
    }

    #[test]
    fn only_the_project_is_required() {
        let settings = read(&project()).unwrap();
        assert_eq!(settings.issuer, "https://securetoken.google.com/demo-x");
        assert_eq!(settings.keys_url.as_str(), GOOGLE_KEYS);
        assert_eq!(settings.skew, Duration::from_secs(30));
        assert_eq!(settings.stale_max, Duration::from_hours(6));
        assert_eq!(read(&Env::default()).unwrap_err(), "FIREBASE_PROJECT_ID is required");
    }

    #[test]
    fn a_project_id_is_a_label() {
        for bad in ["short", "Demo-x", "demo_x", "demo.x", "demo-x/../y", "a".repeat(31).as_str()] {
            let env = Env::default().with("FIREBASE_PROJECT_ID", bad);
            assert!(read(&env).unwrap_err().starts_with("FIREBASE_PROJECT_ID must be"), "{bad}");
        }
    }

    #[test]
    fn urls_are_https_or_on_this_machine() {
        let good = [
            "https://keys.example.com/jwk?x=1",
            "http://127.0.0.1:9099/keys",
            "http://127.9.9.9/",
            "http://[::1]:9099/keys",
            "http://localhost:9099/keys",
        ];
        for text in good {
            let env = project().with("JWKS_URL", text).with("TOKEN_ISSUER", text);
            assert_eq!(read(&env).unwrap().issuer, text);
        }
        let bad = [
            "http://keys.example.com/",
            "http://10.0.0.1/",
            "http://0.0.0.0/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://127.0.0.1@example.com/",
            "https://user:hunter2@example.com/",
            "file:///etc/keys",
            "keys.example.com",
            "/keys",
        ];
        for text in bad {
            let env = project().with("JWKS_URL", text).with("TOKEN_ISSUER", text);
            assert_eq!(read(&env).unwrap_err().lines().count(), 2, "{text}");
        }
    }

    #[test]
    fn our_own_tokens_are_signed_on_this_machine() {
        let source = |text: &str| read(&project().with("SERVICE_TOKEN_URL", text));
        let socket = TokenSource::Socket("/.fly/api".into());
        assert_eq!(source("unix:/.fly/api").unwrap().service_tokens.as_ref(), Some(&socket));
        let on_fly = read(&project().with("FLY_APP_NAME", "acme-user")).unwrap();
        assert_eq!(on_fly.service_tokens, Some(socket));
        assert!(source("http://127.0.0.1:9099/").unwrap().service_tokens.is_some());
        for bad in ["unix:api", "https://tokens.example.com/", "http://10.0.0.1/", "/.fly/api"] {
            assert!(source(bad).is_err(), "{bad}");
        }
        assert_eq!(read(&project()).unwrap().service_tokens, None);
    }

    #[test]
    fn spans_have_bounds() {
        let env = project().with("TOKEN_SKEW_SECS", "301").with("JWKS_STALE_SECS_MAX", "0");
        assert_eq!(read(&env).unwrap_err().lines().count(), 2);
    }
}
