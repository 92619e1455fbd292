//! The RPCs of `mayfly.user.v1.UserService`: read the request, ask the store, answer.

use call::signed_in;
use changes::{Messages, Standing, Subject};
use chassis::Context;
use database::{OnConstraint, Pool, Tx};
use fault::{Fault, Reason};
use identity::UserId;
use page::Asked;
use proto::user::v1::{
    self, BatchGetProfilesRequest, BatchGetProfilesResponse, CreateProfileRequest,
    DeleteProfileRequest, GetProfileRequest, ListProfilesRequest, ListProfilesResponse,
    UpdateProfileRequest, WatchProfilesRequest, WatchProfilesResponse,
    user_service_server::{UserService as Rpcs, UserServiceServer},
    watch_profiles_response::Event,
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    model::{Announcement, Changes, Profile, Watched, people},
    store,
};

/// Serves `mayfly.user.v1.UserService` from the database.
#[derive(Debug)]
pub struct UserService {
    context: Context,
}

/// The function's service, for the chassis.
pub fn service(context: Context, (): ()) -> UserServiceServer<UserService> {
    UserServiceServer::new(UserService { context })
}

impl UserService {
    /// Has those who watch hear of a change, once it is committed.
    async fn announce(&self, tx: &Tx, announcement: Announcement) -> Result<(), Fault> {
        let Announcement { topic, user_id, etag } = announcement;
        let version = etag.as_ref().map(|etag| &etag.as_bytes()[..]);
        self.context.changes.append(tx, (&topic, user_id.as_str()), version).await?;
        Ok(())
    }
}

#[async_trait]
impl Rpcs for UserService {
    type WatchProfilesStream = Messages<WatchProfilesResponse>;

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
            self.announce(&tx, Announcement::new(&profile.user_id, None, Some(&created))).await?;
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

    async fn batch_get_profiles(
        &self,
        request: Request<BatchGetProfilesRequest>,
    ) -> Result<Response<BatchGetProfilesResponse>, Status> {
        let (call, BatchGetProfilesRequest { user_ids }) = signed_in(request)?;
        let user_ids = people(&user_ids);

        let mut profiles = store::batch_get_profiles(&self.context.pool, &user_ids).await?;

        profiles.retain(|profile| profile.is_visible_to(&call.user_id));
        let place = |profile: &Profile| {
            user_ids.iter().position(|user_id| user_id == profile.user_id.as_str())
        };
        profiles.sort_by_key(place);
        let profiles = profiles.into_iter().map(Into::into).collect();
        Ok(Response::new(BatchGetProfilesResponse { profiles }))
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
            let updated = store::update_profile(&tx, &changes.apply(current.clone())?)
                .await
                .on_constraint("profile_handle_key", Reason::HandleTaken)?;
            self.announce(&tx, Announcement::new(user_id, Some(&current), Some(&updated))).await?;
            Ok(updated.into())
        };

        self.context.pool.once(&call, &message, update).await
    }

    async fn delete_profile(
        &self,
        request: Request<DeleteProfileRequest>,
    ) -> Result<Response<()>, Status> {
        let (call, message) = signed_in(request)?;
        let (call, etag, changes) = (&call, &message.etag, &self.context.changes);
        let user_id = &call.user_id;

        let delete = |tx: Tx| async move {
            let current = store::lock_profile(&tx, user_id).await?.ok_or(Reason::NotFound)?;
            current.check_etag(etag)?;
            store::delete_profile(&tx, user_id).await?;
            tx.erase_answers(call).await?;
            changes.erase(&tx, &Announcement::topics(user_id.as_str())).await?;
            self.announce(&tx, Announcement::new(user_id, Some(&current), None)).await
        };

        self.context.pool.once(call, &message, delete).await
    }

    async fn list_profiles(
        &self,
        request: Request<ListProfilesRequest>,
    ) -> Result<Response<ListProfilesResponse>, Status> {
        let (call, mut query) = signed_in(request)?;
        let asked = Asked::take(&mut query.page_size, &mut query.page_token);
        let Context { pool, clock, .. } = &self.context;

        let page = asked.page(pool, clock, &call, &query).await?;
        let profiles =
            store::list_profiles(pool, &query.handle_prefix, page.after(), page.rows_max()).await?;
        let (profiles, next_page_token) = page.cut(profiles, |profile| &profile.handle_key);

        let profiles = profiles.into_iter().map(Into::into).collect();
        Ok(Response::new(ListProfilesResponse { profiles, next_page_token }))
    }

    async fn watch_profiles(
        &self,
        request: Request<WatchProfilesRequest>,
    ) -> Result<Response<Messages<WatchProfilesResponse>>, Status> {
        let (call, WatchProfilesRequest { user_ids, cursor }) = signed_in(request)?;
        let watched = Watched::new(&call.user_id, user_ids);
        let subject = WatchedProfiles { pool: self.context.pool.clone(), watched };

        let messages = self.context.changes.watch(&call, &cursor, subject).await?;

        Ok(Response::new(messages))
    }
}

/// The profiles of a Watch, as they are when there is something to tell of them.
struct WatchedProfiles {
    pool: Pool,
    watched: Watched,
}

impl Subject for WatchedProfiles {
    type Message = WatchProfilesResponse;

    fn topics(&self) -> Vec<String> {
        self.watched.topics()
    }

    fn keys(&self) -> Vec<String> {
        self.watched.user_ids.clone()
    }

    async fn read(&self, keys: &[String]) -> Result<Vec<Standing<WatchProfilesResponse>>, Fault> {
        let profiles = store::batch_get_profiles(&self.pool, &people(keys)).await?;

        let is_visible = |profile: &Profile| profile.is_visible_to(&self.watched.viewer);
        let standing = |profile: Profile| Standing {
            key: profile.user_id.as_str().to_owned(),
            version: profile.etag.as_bytes().to_vec(),
            message: event(Event::Profile(profile.into())),
        };
        Ok(profiles.into_iter().filter(is_visible).map(standing).collect())
    }

    fn gone(&self, key: &str) -> WatchProfilesResponse {
        event(Event::GoneUserId(key.to_owned()))
    }

    fn set_cursor(message: &mut WatchProfilesResponse, cursor: String) {
        message.cursor = cursor;
    }
}

fn event(event: Event) -> WatchProfilesResponse {
    WatchProfilesResponse { event: Some(event), cursor: String::new() }
}
