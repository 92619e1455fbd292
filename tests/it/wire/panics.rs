//! A handler that panics, which no handler should.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use proto::user::v1::{
    BatchGetProfilesRequest, BatchGetProfilesResponse, CreateProfileRequest, DeleteProfileRequest,
    GetProfileRequest, ListProfilesRequest, ListProfilesResponse, Profile, UpdateProfileRequest,
    WatchProfilesRequest, WatchProfilesResponse,
    user_service_server::{UserService as Rpcs, UserServiceServer},
};
use tests::{App, told};
use tokio::{task::yield_now, time::sleep};
use tonic::{Code, Request, Response, Status, async_trait, codegen::BoxStream};

use super::{call_json, get_own};

/// A `user` function that is one bug.
struct Bug;

impl Bug {
    async fn app() -> App {
        let bug = chassis::Function::new("user", |_context, (): ()| UserServiceServer::new(Self));
        App::builder().functions(vec![bug]).start().await
    }
}

#[async_trait]
impl Rpcs for Bug {
    type WatchProfilesStream = BoxStream<WatchProfilesResponse>;

    async fn get_profile(
        &self,
        _request: Request<GetProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        panic!("a secret of the handler's")
    }

    /// Tells one thing and then panics.
    async fn watch_profiles(
        &self,
        _request: Request<WatchProfilesRequest>,
    ) -> Result<Response<BoxStream<WatchProfilesResponse>>, Status> {
        let told = stream::iter(0..).then(async |told| {
            // What is handed out in one go with the panic is lost with it.
            yield_now().await;
            assert_eq!(told, 0, "a secret of the stream's");
            Ok(WatchProfilesResponse::default())
        });
        Ok(Response::new(Box::pin(told)))
    }

    /// Takes its time beside the others.
    async fn list_profiles(
        &self,
        _request: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        sleep(Duration::from_millis(200)).await;
        Ok(Response::new(ListProfilesResponse::default()))
    }

    async fn create_profile(
        &self,
        _request: Request<CreateProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn delete_profile(
        &self,
        _request: Request<DeleteProfileRequest>,
    ) -> Result<Response<()>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn batch_get_profiles(
        &self,
        _request: Request<BatchGetProfilesRequest>,
    ) -> Result<Response<BatchGetProfilesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn update_profile(
        &self,
        _request: Request<UpdateProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Says what a bug is told as, and nothing more.
#[track_caller]
fn is_told_as_a_bug(status: &Status) {
    let told = told(status);
    assert_eq!((told.code, &*told.reason), (Code::Internal, "INTERNAL"));
    assert!(!format!("{status:?}").contains("secret"), "{status:?}");
    assert!(status.metadata().get("x-request-id").is_some(), "{status:?}");
}

#[tokio::test]
async fn a_handler_that_panics_is_one_failed_call_in_every_protocol() {
    let app = Bug::app().await;
    let ada = app.person("ada");
    let answer = get_own(&ada).send(app.address).await;
    is_told_as_a_bug(&answer.grpc_status());
    let answer = call_json(&ada, "GetProfile", &serde_json::json!({})).send(app.address).await;
    assert_eq!(answer.json_status().code(), Code::Internal);
    assert!(answer.header("x-request-id").is_some());
    assert!(!answer.json().to_string().contains("secret"));
}

#[tokio::test]
async fn a_panic_harms_no_other_call_of_its_connection() {
    let app = Bug::app().await;
    let ada = app.person("ada");
    let (mut one, mut other) = (ada.user(), ada.user());
    let (panicked, listed) = tokio::join!(
        one.get_profile(GetProfileRequest::default()),
        other.list_profiles(ListProfilesRequest::default())
    );
    is_told_as_a_bug(&panicked.unwrap_err());
    listed.unwrap();
}

#[tokio::test]
async fn a_stream_that_panics_ends_in_trailers_behind_what_it_has_told() {
    let app = Bug::app().await;
    let watch = app.person("ada").user().watch_profiles(WatchProfilesRequest::default()).await;
    let mut told = watch.unwrap().into_inner();
    assert_eq!(told.message().await.unwrap(), Some(WatchProfilesResponse::default()));
    is_told_as_a_bug(&told.message().await.unwrap_err());
}
