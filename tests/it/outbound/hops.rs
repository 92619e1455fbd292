//! Functions that call each other, each behind its whole stack.

use std::{net::SocketAddr, time::Duration};

use call::signed_in;
use chassis::{Context, Function};
use fault::Fault;
use proto::user::v1::{
    BatchGetProfilesRequest, BatchGetProfilesResponse, CreateProfileRequest, DeleteProfileRequest,
    GetProfileRequest, ListProfilesRequest, ListProfilesResponse, Profile, UpdateProfileRequest,
    WatchProfilesRequest, WatchProfilesResponse,
    user_service_client::UserServiceClient,
    user_service_server::{UserService as Rpcs, UserServiceServer},
};
use tests::{App, keyed, told};
use tonic::{Code, Request, Response, Status, async_trait, codegen::BoxStream};

use super::{MS, PATIENCE, REQUEST_ID, Reply, Stub, TRACEPARENT};

/// A `user` function that asks another.
struct Forwarder {
    context: Context,
    next: outbound::Function,
}

impl Forwarder {
    /// An app of it, which asks whoever is at `address`.
    async fn app(address: SocketAddr) -> App {
        let forwarder = Function::new("user", move |context: Context, (): ()| {
            let next = format!("http://{address}").parse().unwrap();
            let next = context.outbound.function("next", next);
            UserServiceServer::new(Self { context, next })
        });
        App::builder().functions(vec![forwarder]).start().await
    }
}

#[async_trait]
impl Rpcs for Forwarder {
    type WatchProfilesStream = BoxStream<WatchProfilesResponse>;

    async fn create_profile(
        &self,
        request: Request<CreateProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        let (call, message) = signed_in(request)?;
        let answer = self.next.call(&call, message, |link, request| async move {
            UserServiceClient::new(link).create_profile(request).await
        });
        Ok(answer.await?)
    }

    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<Profile>, Status> {
        let (call, message) = signed_in(request)?;
        let answer = self.next.call(&call, message, |link, request| async move {
            UserServiceClient::new(link).get_profile(request).await
        });
        Ok(answer.await?)
    }

    /// What nobody should write.
    async fn delete_profile(
        &self,
        request: Request<DeleteProfileRequest>,
    ) -> Result<Response<()>, Status> {
        let (call, message) = signed_in(request)?;
        let delete = |_tx| async {
            let answer = self.next.call(&call, message.clone(), |link, request| async move {
                UserServiceClient::new(link).delete_profile(request).await
            });
            let () = answer.await?.into_inner();
            Ok::<_, Fault>(())
        };
        self.context.pool.transaction(delete).await?;
        Ok(Response::new(()))
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

    async fn list_profiles(
        &self,
        _request: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn watch_profiles(
        &self,
        _request: Request<WatchProfilesRequest>,
    ) -> Result<Response<BoxStream<WatchProfilesResponse>>, Status> {
        Err(Status::unimplemented(""))
    }
}

fn asked(within: Duration) -> Request<GetProfileRequest> {
    let mut request = Request::new(GetProfileRequest::default());
    request.set_timeout(within);
    request
}

#[tokio::test]
async fn three_hops_share_one_budget_and_one_caller() {
    const BUDGET: Duration = Duration::from_millis(1900);
    let last = Stub::grpc(|_number| Reply::Profile).await;
    let middle = Forwarder::app(last.address).await;
    let first = Forwarder::app(middle.address).await;
    let ada = first.person("ada");
    // The keys and the connections are there from here on.
    ada.user().get_profile(asked(PATIENCE)).await.unwrap();
    let mut request = asked(BUDGET);
    request.metadata_mut().insert("x-request-id", REQUEST_ID.parse().unwrap());
    request.metadata_mut().insert("traceparent", TRACEPARENT.parse().unwrap());

    let profile = ada.user().get_profile(request).await.unwrap().into_inner();

    assert_eq!(profile.handle, "ada");
    let seen = last.seen();
    let bearer = format!("Bearer {}", ada.token.as_deref().unwrap());
    let [_, seen] = &*seen else { panic!("{} calls", seen.len()) };
    assert_eq!(seen.header("authorization"), Some(&*bearer));
    assert_eq!(seen.header("x-request-id"), Some(REQUEST_ID));
    assert_eq!(seen.header("traceparent"), Some(TRACEPARENT));
    // Each hop keeps five milliseconds for itself.
    assert!(seen.timeout() + MS * 10 <= BUDGET, "{:?}", seen.timeout());
}

#[tokio::test]
async fn a_hop_with_no_time_left_begins_nothing() {
    let last = Stub::grpc(|_number| Reply::Profile).await;
    let first = Forwarder::app(last.address).await;
    let ada = first.person("ada");
    // The keys are there from here on.
    ada.user().get_profile(asked(PATIENCE)).await.unwrap();
    let before = last.count();

    for _ in 0..20 {
        let status = ada.user().get_profile(asked(MS * 9)).await.unwrap_err();
        // tonic's client has its own words for its own timer.
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    }

    assert_eq!(last.count(), before);
}

#[tokio::test]
async fn what_is_asked_of_another_function_is_done_by_it_for_the_person() {
    let users = App::start().await;
    let first = Forwarder::app(users.address).await;
    let ada = first.person("ada");
    let profile =
        Profile { handle: "ada".into(), display_name: "Ada".into(), ..Profile::default() };
    let message = CreateProfileRequest { profile: Some(profile) };

    let created = ada.user().create_profile(keyed(message)).await.unwrap().into_inner();

    assert_eq!((&*created.user_id, &*created.handle), ("ada", "ada"));
    let got = users.person("ada").user().get_profile(GetProfileRequest::default()).await.unwrap();
    assert_eq!(got.into_inner(), created);
}

#[tokio::test]
async fn a_function_that_is_down_is_told_as_a_dependency() {
    let last = Stub::grpc(|_number| Reply::Profile).await;
    let first = Forwarder::app(last.address).await;
    let ada = first.person("ada");
    // The keys and the connection are there from here on.
    ada.user().get_profile(asked(PATIENCE)).await.unwrap();
    last.now(|_number| Reply::Grpc(Code::Unavailable, Vec::new()));

    let status = ada.user().get_profile(asked(PATIENCE)).await.unwrap_err();

    let told = told(&status);
    assert_eq!((told.code, &*told.reason), (Code::Unavailable, "DEPENDENCY_UNAVAILABLE"));
    let (_status, metrics) = first.internal("/metrics").await;
    let series = "mayfly_outbound_retries_total{dependency=\"next\"} 3";
    assert!(metrics.contains(series), "{metrics}");
}

#[tokio::test]
async fn no_call_leaves_while_a_transaction_is_open() {
    let last = Stub::grpc(|_number| Reply::Profile).await;
    let first = Forwarder::app(last.address).await;
    let message = DeleteProfileRequest::default();

    let status = first.person("ada").user().delete_profile(keyed(message)).await.unwrap_err();

    assert_eq!(status.code(), Code::Internal);
    assert_eq!(last.count(), 0);
}
