//! What is served in a storm: the log itself, as a `WatchProfiles` whose people are topics, and which
//! tells every entry by its key.

use call::signed_in;
use changes::{Messages, Standing, Subject};
use chassis::{Context, Function};
use fault::{Fault, Reason};
use proto::user::v1::{
    self, WatchProfilesRequest, WatchProfilesResponse,
    user_service_server::{UserService, UserServiceServer},
    watch_profiles_response::Event,
};
use tonic::{Request, Response, Status, async_trait};

/// The log itself, as a function.
pub fn function() -> Function {
    Function::new("user", |context: Context, (): ()| UserServiceServer::new(Raw(context)))
}

struct Raw(Context);

struct Topics(Vec<String>);

/// The topic of a name that is watched.
pub fn topic(name: &str) -> String {
    format!("storm/{name}")
}

impl Subject for Topics {
    type Message = WatchProfilesResponse;

    fn topics(&self) -> Vec<String> {
        self.0.iter().map(|name| topic(name)).collect()
    }

    fn keys(&self) -> Vec<String> {
        Vec::new()
    }

    async fn read(&self, _keys: &[String]) -> Result<Vec<Standing<WatchProfilesResponse>>, Fault> {
        Ok(Vec::new())
    }

    fn gone(&self, key: &str) -> WatchProfilesResponse {
        let event = Some(Event::GoneUserId(key.to_owned()));
        WatchProfilesResponse { event, cursor: String::new() }
    }

    fn set_cursor(message: &mut WatchProfilesResponse, cursor: String) {
        message.cursor = cursor;
    }
}

#[async_trait]
impl UserService for Raw {
    type WatchProfilesStream = Messages<WatchProfilesResponse>;

    async fn watch_profiles(
        &self,
        request: Request<WatchProfilesRequest>,
    ) -> Result<Response<Messages<WatchProfilesResponse>>, Status> {
        let (call, WatchProfilesRequest { user_ids, cursor }) = signed_in(request)?;
        let messages = self.0.changes.watch(&call, &cursor, Topics(user_ids)).await?;
        Ok(Response::new(messages))
    }

    async fn create_profile(
        &self,
        _request: Request<v1::CreateProfileRequest>,
    ) -> Result<Response<v1::Profile>, Status> {
        Err(Reason::Unimplemented.into())
    }

    async fn get_profile(
        &self,
        _request: Request<v1::GetProfileRequest>,
    ) -> Result<Response<v1::Profile>, Status> {
        Err(Reason::Unimplemented.into())
    }

    async fn batch_get_profiles(
        &self,
        _request: Request<v1::BatchGetProfilesRequest>,
    ) -> Result<Response<v1::BatchGetProfilesResponse>, Status> {
        Err(Reason::Unimplemented.into())
    }

    async fn update_profile(
        &self,
        _request: Request<v1::UpdateProfileRequest>,
    ) -> Result<Response<v1::Profile>, Status> {
        Err(Reason::Unimplemented.into())
    }

    async fn delete_profile(
        &self,
        _request: Request<v1::DeleteProfileRequest>,
    ) -> Result<Response<()>, Status> {
        Err(Reason::Unimplemented.into())
    }

    async fn list_profiles(
        &self,
        _request: Request<v1::ListProfilesRequest>,
    ) -> Result<Response<v1::ListProfilesResponse>, Status> {
        Err(Reason::Unimplemented.into())
    }
}
