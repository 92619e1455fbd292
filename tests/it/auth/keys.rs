//! The keys that all machines of a function agree on, and what each of them has signed.

use proto::{
    auth::v1::{ListApiClientsRequest, ListApiClientsResponse},
    user::v1::WatchProfilesRequest,
};
use tests::App;
use tonic::{Response, Status};

use super::{
    machines::{create, exchange, validate},
    with_role,
};

/// What a process has signed, each by the key that is called so.
struct Signed {
    auth_access: String,
    cursor: String,
    page: String,
}

impl Signed {
    async fn by(app: &App) -> Self {
        let (_, (id, secret)) = (create(app).await, create(app).await);
        let auth_access = exchange(app, &id, &secret).await.unwrap().access_token;
        let page = list(app, "").await.unwrap().next_page_token;
        let request = WatchProfilesRequest::default();
        let watching = app.person("ada").user().watch_profiles(request).await;
        let (mut watching, mut cursor) = (watching.unwrap().into_inner(), String::new());
        while cursor.is_empty() {
            cursor = watching.message().await.unwrap().unwrap().cursor;
        }
        Self { auth_access, cursor, page }
    }

    /// What of it a process refuses.
    async fn refused_by(&self, app: &App) -> Vec<&'static str> {
        let request = WatchProfilesRequest { cursor: self.cursor.clone(), ..Default::default() };
        let watching = app.person("ada").user().watch_profiles(request).await;
        let taken = [
            ("auth_access", validate(app, &self.auth_access).await.active),
            ("cursor", watching.is_ok()),
            ("page", list(app, &self.page).await.is_ok()),
        ];
        taken.into_iter().filter(|(_, is_taken)| !is_taken).map(|(key, _)| key).collect()
    }
}

async fn list(app: &App, page_token: &str) -> Result<ListApiClientsResponse, Status> {
    let request = ListApiClientsRequest { page_size: 1, page_token: page_token.to_owned() };
    let admin = with_role(app, "root-admin", "admin");
    admin.auth().list_api_clients(request).await.map(Response::into_inner)
}

#[tokio::test]
async fn what_a_key_has_signed_is_refused_under_another_and_nothing_else_is() {
    for key in ["auth_access", "cursor", "page"] {
        let app = App::start().await;
        let signed = Signed::by(&app).await;
        let other = "update mayfly.secret set value = sha256(value) where name =";
        app.sql(&format!("{other} '{key}'")).await;
        // What a process has read it keeps.
        let late = App::builder().database(&app.database).start().await;
        assert_eq!(signed.refused_by(&late).await, [key]);
        assert!(signed.refused_by(&app).await.is_empty());
    }
}
