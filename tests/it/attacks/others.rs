//! What one call names is all that changes, where everything else is as much the caller's to change.

use proto::auth::v1::{
    CreateApiClientRequest, DeleteApiClientRequest, RotateApiClientSecretRequest, SignInRequest,
};
use serde_json::{Map, json};
use tests::{App, Person, keyed, world};

/// Two API clients; the id of one, and what counts the other for as long as it is as it was.
async fn two_clients(app: &App, admin: &Person) -> (String, String) {
    let made = async |name: &str| {
        let request = CreateApiClientRequest { display_name: name.to_owned(), scopes: Vec::new() };
        let made = admin.auth().create_api_client(keyed(request)).await.unwrap().into_inner();
        made.api_client.unwrap().api_client_id
    };
    let (one, other) = (made("one").await, made("other").await);
    let as_before = format!(
        "select count(*) from mayfly_auth.api_client
         where api_client_id = '{other}' and rotate_time = create_time"
    );
    assert_eq!(app.sql_count(&as_before).await, 1);
    (one, as_before)
}

fn admin(app: &App) -> Person {
    let claims = Map::from_iter([("roles".to_owned(), json!(["admin"]))]);
    app.stranger(Some(&world().issuer.id_token("root-admin", &claims)))
}

#[tokio::test]
async fn an_api_client_that_is_rotated_leaves_the_others_alone() {
    let app = App::start().await;
    let admin = admin(&app);
    let (api_client_id, as_before) = two_clients(&app, &admin).await;
    let rotate = RotateApiClientSecretRequest { api_client_id, grace_period: None };
    admin.auth().rotate_api_client_secret(keyed(rotate)).await.unwrap();
    assert_eq!(app.sql_count(&as_before).await, 1);
}

#[tokio::test]
async fn an_api_client_that_is_deleted_leaves_the_others_alone() {
    let app = App::start().await;
    let admin = admin(&app);
    let (api_client_id, as_before) = two_clients(&app, &admin).await;
    let delete = DeleteApiClientRequest { api_client_id };
    admin.auth().delete_api_client(keyed(delete)).await.unwrap();
    assert_eq!(app.sql_count(&as_before).await, 1);
    assert_eq!(app.sql_count("select count(*) from mayfly_auth.api_client").await, 1);
}

#[tokio::test]
async fn what_firebase_is_told_of_one_person_leaves_it_owing_what_it_is_owed_of_another() {
    let app = App::start().await;
    // The first is due, the second was tried a moment ago.
    let rows = "('long-gone', 1, now() - interval '1 hour'), ('waits', 1, now())";
    app.sql(&format!("insert into mayfly_auth.untold values {rows}")).await;
    let (email, password) = ("of-another@example.com".to_owned(), "correct horse".to_owned());
    world().issuer.sign_up(&email, &password).unwrap();
    let sign_in = SignInRequest { email, password, device_name: String::new() };
    app.stranger(None).auth().sign_in(sign_in).await.unwrap();
    let left =
        |name: &str| format!("select count(*) from mayfly_auth.untold where person_id = '{name}'");
    assert_eq!(app.sql_count(&left("long-gone")).await, 0);
    assert_eq!(app.sql_count(&left("waits")).await, 1);
}
