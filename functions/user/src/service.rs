//! The RPCs of `mayfly.user.v1.UserService`: read the request, ask the store, answer.

use call::signed_in;
use chassis::Context;
use database::OnConstraint;
use fault::Reason;
use identity::UserId;
use page::Page;
use proto::user::v1::{
    self, CreateProfileRequest, GetProfileRequest, ListProfilesRequest, ListProfilesResponse,
    UpdateProfileRequest,
    user_service_server::{UserService as Rpcs, UserServiceServer},
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    model::{Changes, Profile},
    store,
};

/// Serves `mayfly.user.v1.UserService` from the database.
#[derive(Debug)]
pub struct UserService {
    context: Context,
}

/// The function's service, for the chassis.
pub fn service(context: Context) -> UserServiceServer<UserService> {
    UserServiceServer::new(UserService { context })
}

#[async_trait]
impl Rpcs for UserService {
    async fn create_profile(
        &self,
        request: Request<CreateProfileRequest>,
    ) -> Result<Response<v1::Profile>, Status> {
        let (call, message) = signed_in(request)?;
        let profile = &Profile::new(&call.user_id, message.profile.as_ref())?;

        let create = |tx| async move {
            let created = store::create_profile(&tx, profile)
                .await
                .on_constraint("profile_user_id_key", Reason::ProfileExists)
                .on_constraint("profile_handle_key", Reason::HandleTaken)?;
            Ok(created.into())
        };

        self.context.pool.once(&call, &message, create).await
    }

    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<v1::Profile>, Status> {
        let (call, GetProfileRequest { user_id }) = signed_in(request)?;
        let user_id = match user_id.as_str() {
            "" => call.user_id.clone(),
            // What cannot be an id names nobody.
            user_id => UserId::parse(user_id).ok_or(Reason::NotFound)?,
        };

        // A hidden profile and a missing one answer alike, so that neither can be probed for.
        let profile = store::get_profile(&self.context.pool, &user_id)
            .await?
            .filter(|profile| profile.is_visible_to(&call.user_id))
            .ok_or(Reason::NotFound)?;

        Ok(Response::new(profile.into()))
    }

    async fn update_profile(
        &self,
        request: Request<UpdateProfileRequest>,
    ) -> Result<Response<v1::Profile>, Status> {
        let (call, message) = signed_in(request)?;
        let changes = &Changes::new(message.profile.as_ref(), message.update_mask.as_ref())?;
        let user_id = &call.user_id;

        let update = |tx| async move {
            let current = store::lock_profile(&tx, user_id).await?.ok_or(Reason::NotFound)?;
            let updated = store::update_profile(&tx, &changes.apply(current)?)
                .await
                .on_constraint("profile_handle_key", Reason::HandleTaken)?;
            Ok(updated.into())
        };

        self.context.pool.once(&call, &message, update).await
    }

    async fn list_profiles(
        &self,
        request: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        let (call, mut query) = signed_in(request)?;
        let (size, token) = (query.page_size, std::mem::take(&mut query.page_token));
        query.page_size = 0;
        let Context { pool, clock, .. } = &self.context;

        let page = Page::read((pool, clock), &call, &query, (size, &token)).await?;
        let profiles =
            store::list_profiles(pool, &query.handle_prefix, page.after(), page.rows_max()).await?;
        let (profiles, next_page_token) = page.cut(profiles, |profile| &profile.handle_key);

        let profiles = profiles.into_iter().map(Into::into).collect();
        Ok(Response::new(ListProfilesResponse { profiles, next_page_token }))
    }
}
