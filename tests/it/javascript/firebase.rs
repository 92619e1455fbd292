//! Firebase's own SDKs at our issuer: the app's in a page in Chromium, whose token opens a function,
//! and the administrator's in Node.

use std::net::Ipv4Addr;

use clock::Clock;
use issuer::Issuer;
use platform::issuer::Served;
use serde_json::{Map, Value, json};
use tests::{App, PROJECT};
use tokio::net::TcpListener;

use crate::javascript::{app_for, clients::Clients};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse";

/// A page and an administrator, at an issuer of their own.
struct Firebase<'c> {
    clients: &'c Clients,
    issuer: Issuer,
    served: Served,
    app: App,
    page: u64,
    done: u64,
}

impl<'c> Firebase<'c> {
    async fn start(clients: &'c Clients) -> Self {
        let issuer = Issuer::in_memory(PROJECT, Clock::system()).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let served = Served::start(&issuer, listener).unwrap();
        let app = app_for(clients).with("JWKS_URL", served.keys_url()).start().await;
        let mut firebase = Self { clients, issuer, served, app, page: 0, done: 0 };
        firebase.open_page("").await;
        firebase.fill("#email", EMAIL).await;
        firebase.fill("#password", PASSWORD).await;
        firebase
    }

    async fn end(self) {
        self.served.stop().await;
    }

    /// Opens the page, with a code from an email if there is one.
    async fn open_page(&mut self, code: &str) {
        let (origin, issuer) = (&self.clients.listed, self.served.url());
        let query = format!("server=http://{}&issuer={issuer}&project={PROJECT}", self.app.address);
        self.page = self.clients.open(&format!("{origin}/account?{query}&code={code}")).await;
        self.done = 0;
    }

    async fn fill(&self, selector: &str, text: &str) {
        let order = json!({ "page": self.page, "selector": selector, "text": text });
        self.clients.has_done("fill", order).await;
    }

    /// Presses a button of the page; what came of it.
    async fn press(&mut self, button: &str) -> String {
        let order = json!({ "page": self.page, "selector": format!("#{button}") });
        self.clients.has_done("click", order).await;
        self.done += 1;
        let begin = format!("{}. {button}: ", self.done);
        let shown = self.becomes("#done", &begin).await;
        shown.strip_prefix(&begin).unwrap().to_owned()
    }

    /// Waits until the page shows something that begins so.
    async fn becomes(&self, selector: &str, begin: &str) -> String {
        let order = json!({ "page": self.page, "selector": selector, "text": begin });
        let shown = self.clients.has_done("becomes", order).await;
        shown.as_str().unwrap().to_owned()
    }

    async fn shows(&self, selector: &str) -> String {
        let order = json!({ "page": self.page, "selector": selector });
        self.clients.has_done("shows", order).await.as_str().unwrap().to_owned()
    }

    /// What a method of the Admin SDK answers, or refuses with.
    async fn admin(&self, method: &str, args: Value) -> Value {
        let address = self.served.url().replace("http://", "");
        let order =
            json!({ "issuer": address, "project": PROJECT, "method": method, "args": args });
        self.clients.has_done("administer", order).await
    }

    /// The same, where it must succeed.
    async fn administers(&self, method: &str, args: Value) -> Value {
        let mut outcome = self.admin(method, args).await;
        assert_eq!(outcome.get("code"), None, "{method}: {outcome}");
        outcome["answer"].take()
    }
}

#[tokio::test]
async fn firebases_own_sdk_signs_up_in_and_out_and_its_token_opens_a_function() {
    let Some(clients) = Clients::start().await else { return };
    let mut page = Firebase::start(&clients).await;
    assert_eq!(page.press("open").await, "16", "nobody is signed in");

    assert_eq!(page.press("sign-up").await, "well");
    let ada = page.shows("#who").await;
    assert_eq!(ada.len(), 28, "{ada}");
    assert_eq!(page.press("open").await, "well");
    assert_eq!(page.shows("#profile").await, format!("ada of {ada}"));
    assert_eq!(page.press("sign-up").await, "auth/email-already-in-use");

    // By another key from here on.
    let old = page.issuer.kid();
    assert_ne!(page.issuer.rotate().unwrap(), old);
    assert_eq!(page.press("refresh").await, "well");
    assert_eq!(page.press("open").await, "well");

    assert_eq!(page.press("sign-out").await, "well");
    page.becomes("#who", "nobody").await;
    assert_eq!(page.press("open").await, "16");
    page.fill("#password", "wrong horse").await;
    assert_eq!(page.press("sign-in").await, "auth/invalid-credential");
    page.fill("#password", PASSWORD).await;
    assert_eq!(page.press("sign-in").await, "well");
    page.becomes("#who", &ada).await;
    assert_eq!(page.press("open").await, "well");
    assert_eq!(page.shows("#profile").await, format!("ada of {ada}"));

    // Whoever has only looked around becomes somebody, and keeps what they have made.
    assert_eq!(page.press("sign-out").await, "well");
    assert_eq!(page.press("visit").await, "well");
    let eve = page.shows("#who").await;
    assert!(eve.len() == 28 && eve != ada, "{eve}");
    assert_eq!(page.press("stay").await, "auth/email-already-in-use");
    page.fill("#email", "eve@example.com").await;
    assert_eq!(page.press("open").await, "well");
    assert_eq!(page.press("stay").await, "well");
    assert_eq!(page.press("sign-out").await, "well");
    assert_eq!(page.press("sign-in").await, "well");
    assert_eq!(page.press("open").await, "well");
    assert_eq!(page.shows("#profile").await, format!("eve of {eve}"));
    page.end().await;
    clients.end().await;
}

#[tokio::test]
async fn what_firebases_administrator_does_reaches_the_page() {
    let Some(clients) = Clients::start().await else { return };
    let mut page = Firebase::start(&clients).await;
    let made = json!([{ "uid": "ada", "email": EMAIL, "password": PASSWORD }]);
    assert_eq!(page.administers("createUser", made).await["uid"], "ada");
    assert_eq!(page.press("sign-in").await, "well");

    page.administers("setCustomUserClaims", json!(["ada", { "roles": ["editor"] }])).await;
    assert_eq!(page.shows("#roles").await, "", "not in the token that it has");
    assert_eq!(page.press("refresh").await, "well");
    page.becomes("#roles", "editor").await;
    let found = page.administers("getUserByEmail", json!([EMAIL])).await;
    assert_eq!(found["customClaims"], json!({ "roles": ["editor"] }));

    page.administers("revokeRefreshTokens", json!(["ada"])).await;
    assert_eq!(page.press("refresh").await, "auth/user-token-expired");
    page.becomes("#who", "nobody").await;
    assert_eq!(page.press("sign-in").await, "well");

    page.administers("updateUser", json!(["ada", { "disabled": true }])).await;
    assert_eq!(page.press("refresh").await, "auth/user-disabled");
    assert_eq!(page.press("sign-in").await, "auth/user-disabled");
    page.administers("updateUser", json!(["ada", { "disabled": false }])).await;
    assert_eq!(page.press("sign-in").await, "well");

    let link = page.administers("generatePasswordResetLink", json!([EMAIL])).await;
    let (_, code) = link.as_str().unwrap().split_once("oobCode=").unwrap();
    let (code, _) = code.split_once('&').unwrap();
    page.open_page(code).await;
    page.fill("#email", EMAIL).await;
    page.fill("#password", "battery staple").await;
    assert_eq!(page.press("reset").await, "well");
    assert_eq!(page.press("sign-in").await, "well");

    page.administers("deleteUser", json!(["ada"])).await;
    assert_eq!(page.admin("getUser", json!(["ada"])).await["code"], "auth/user-not-found");
    assert_eq!(page.press("refresh").await, "auth/user-token-expired");
    page.end().await;
    clients.end().await;
}

#[tokio::test]
async fn firebases_administrator_verifies_a_token_as_it_verifies_googles() {
    let Some(clients) = Clients::start().await else { return };
    let page = Firebase::start(&clients).await;
    let verify = async |token: &str| {
        let issuer = page.served.address();
        let order = json!({ "issuer": issuer, "project": PROJECT, "token": token });
        clients.has_done("verify", order).await
    };
    let ada = page.issuer.sign_up(EMAIL, PASSWORD).unwrap();
    page.issuer.rotate().unwrap();
    let again = page.issuer.refresh(&ada.refresh_token).unwrap();
    for token in [&ada.id_token, &again.id_token] {
        let said = verify(token).await;
        let said = &said["answer"];
        assert_eq!((&said["uid"], &said["email"]), (&json!(ada.user_id), &json!(EMAIL)), "{said}");
    }
    let strangers = Issuer::in_memory(PROJECT, Clock::system()).unwrap();
    for forged in [strangers.id_token("ada", &Map::new()), page.issuer.service_token("a", "b")] {
        assert_eq!(verify(&forged).await["code"], "auth/argument-error");
    }
    // In its emulator mode it takes tokens without a signature alone, and ours have one.
    let refused = page.admin("verifyIdToken", json!([ada.id_token])).await;
    assert_eq!(refused["code"], "auth/argument-error");
    page.end().await;
    clients.end().await;
}
