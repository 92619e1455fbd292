//! The `user` function, as people see it.

use proto::user::v1::{CreateProfileRequest, GetProfileRequest, Profile};
use tests::{App, keyed, told};
use tonic::Code;

fn named(handle: &str) -> Profile {
    Profile { handle: handle.into(), display_name: handle.into(), ..Default::default() }
}

#[tokio::test]
async fn a_private_profile_is_its_owners_alone() {
    let app = App::start().await;
    let (ada, bob) = (app.person("ada-uid"), app.person("bob-uid"));
    let create = CreateProfileRequest { profile: Some(named("ada")) };
    ada.user().create_profile(keyed(create)).await.unwrap();
    let adas = || GetProfileRequest { user_id: "ada-uid".into() };

    let own = ada.user().get_profile(adas()).await.unwrap().into_inner();
    assert_eq!(own.handle, "ada");

    let hidden = bob.user().get_profile(adas()).await.unwrap_err();
    let missing = GetProfileRequest { user_id: "nobody".into() };
    let missing = bob.user().get_profile(missing).await.unwrap_err();
    assert_eq!(told(&hidden), told(&missing));
    assert_eq!(hidden.code(), Code::NotFound);
}
