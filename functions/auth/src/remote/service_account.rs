//! A service account of Google's: its key file, and the assertions that it signs (RFC 7523).

use std::fmt;

use aws_lc_rs::{
    error::Unspecified,
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use identity::safe_url;
use outbound::Url;
use serde_json::{Value, json};

/// The one thing that is asked for: administering accounts.
const SCOPE: &str = "https://www.googleapis.com/auth/identitytoolkit";

/// How long an assertion is good, in seconds: as long as Google allows.
const ASSERTION_SECS: i64 = 3600;

/// The largest key file that is read; Google's are less than three thousand bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// An account that programs sign in with.
pub(crate) struct ServiceAccount {
    email: String,
    key_id: String,
    key: RsaKeyPair,
    /// Where assertions are exchanged: at Google's, or on this machine.
    pub(crate) token_url: Url,
}

impl ServiceAccount {
    /// Reads a setting: the JSON of a key file, or the path of one. None if any of it is not good.
    pub(crate) fn read(setting: &str) -> Option<Self> {
        if setting.starts_with('{') {
            return Self::of(setting);
        }
        let is_small = std::fs::metadata(setting).ok()?.len() <= FILE_BYTES_MAX;
        Self::of(&std::fs::read_to_string(setting).ok().filter(|_text| is_small)?)
    }

    fn of(file: &str) -> Option<Self> {
        let file: Value = serde_json::from_str(file).ok()?;
        let text = |name: &str| file.get(name)?.as_str().filter(|text| !text.is_empty());
        let is_account = text("type") == Some("service_account");
        Some(Self {
            email: text("client_email").filter(|_email| is_account)?.to_owned(),
            key_id: text("private_key_id")?.to_owned(),
            key: key(text("private_key")?)?,
            token_url: token_url(text("token_uri")?)?,
        })
    }

    /// Says who we are and what for, to whoever exchanges it.
    pub(crate) fn assertion(&self, now_secs: i64) -> Result<String, Unspecified> {
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_url.as_str(),
            "iat": now_secs,
            "exp": now_secs + ASSERTION_SECS,
        });
        let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = message.join(".");
        let mut signature = vec![0; self.key.public_modulus_len()];
        let chance = SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &chance, message.as_bytes(), &mut signature)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// A private key in PEM, as key files hold it: PKCS #8, and sound.
fn key(pem: &str) -> Option<RsaKeyPair> {
    let (_before, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (lines, _after) = rest.split_once("-----END PRIVATE KEY-----")?;
    let der = STANDARD.decode(lines.split_whitespace().collect::<String>()).ok()?;
    RsaKeyPair::from_pkcs8(&der).ok()
}

/// Where assertions go: a key file from elsewhere must not have them sent anywhere else.
fn token_url(text: &str) -> Option<Url> {
    let url = safe_url(text)?;
    let host = url.host_str()?;
    let is_googles = host == "accounts.google.com" || host.ends_with(".googleapis.com");
    // What is safe and not https is on this machine.
    (is_googles || url.scheme() == "http").then_some(url)
}

/// The key stays out.
impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer, Pkcs8V1Der},
        rsa::KeySize,
    };

    use super::*;

    fn file() -> Value {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let key = STANDARD.encode(der.as_ref());
        json!({
            "type": "service_account",
            "project_id": "demo-x",
            "private_key_id": "k1",
            "private_key": format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n"),
            "client_email": "admin@demo-x.iam.gserviceaccount.com",
            "client_id": "1",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": "https://oauth2.googleapis.com/token",
        })
    }

    fn read(file: &Value) -> Option<ServiceAccount> {
        ServiceAccount::read(&file.to_string())
    }

    #[test]
    fn a_key_file_is_read_from_the_setting_or_from_its_path() {
        let file = file();
        let account = read(&file).unwrap();
        assert_eq!(account.token_url.as_str(), "https://oauth2.googleapis.com/token");
        assert!(!format!("{account:?}").contains("BEGIN"));
        let path = std::env::temp_dir().join(format!("mayfly-key-{}.json", std::process::id()));
        std::fs::write(&path, file.to_string()).unwrap();
        let found = ServiceAccount::read(path.to_str().unwrap());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found.unwrap().email, account.email);
        assert!(ServiceAccount::read(path.to_str().unwrap()).is_none());
    }

    #[test]
    fn a_key_file_with_anything_wrong_is_none() {
        let good = file();
        for name in ["type", "private_key_id", "private_key", "client_email", "token_uri"] {
            for wrong in [json!(null), json!(""), json!(1), json!("authorized_user")] {
                let mut bad = good.clone();
                bad[name] = wrong.clone();
                let is_free_text = matches!(name, "private_key_id" | "client_email");
                let is_good = is_free_text && wrong == "authorized_user";
                assert_eq!(read(&bad).is_some(), is_good, "{name} {wrong}");
            }
        }
        let mut bad = good.clone();
        bad["private_key"] = json!(good["private_key"].as_str().unwrap().replacen('M', "N", 1));
        assert!(read(&bad).is_none(), "a key that is damaged");
        assert!(ServiceAccount::read("{").is_none() && ServiceAccount::read("[]").is_none());
    }

    #[test]
    fn assertions_go_to_google_or_stay_on_this_machine() {
        let goes = |url: &str| {
            let mut file = file();
            file["token_uri"] = json!(url);
            read(&file).is_some()
        };
        assert!(goes("https://accounts.google.com/o/oauth2/token"));
        assert!(goes("http://127.0.0.1:9099/token"));
        for bad in [
            "http://oauth2.googleapis.com/token",
            "https://oauth2.googleapis.com.example.com/token",
            "https://example.com/token",
            "https://googleapis.com@example.com/token",
            "http://10.0.0.1/token",
        ] {
            assert!(!goes(bad), "{bad}");
        }
    }

    #[test]
    fn an_assertion_says_who_for_whom_and_for_how_long() {
        let account = read(&file()).unwrap();
        let assertion = account.assertion(1000).unwrap();
        let parts: Vec<_> = assertion.split('.').collect();
        let part = |at: usize| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[at]).unwrap()).unwrap()
        };
        assert_eq!(part(0), json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
        let claims = json!({ "iss": account.email, "scope": SCOPE, "iat": 1000, "exp": 4600,
            "aud": "https://oauth2.googleapis.com/token" });
        assert_eq!((part(1), parts.len()), (claims, 3));
    }
}
