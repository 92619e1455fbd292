//! `WatchProfiles`, and the change log below it: nothing that can be seen is missed, nothing is told
//! twice, and nothing of a private profile reaches a stranger.

mod access;
mod cursors;
mod order;
mod resources;

use std::time::Duration;

use proto::user::v1::{
    CreateProfileRequest, DeleteProfileRequest, Profile, UpdateProfileRequest, Visibility,
    WatchProfilesRequest, WatchProfilesResponse, watch_profiles_response::Event,
};
use tests::{App, Person, keyed, until};
use tokio::time::timeout;
use tonic::{Status, Streaming};

/// How long anything may take. The tests share one Postgres, and a transaction of any of them that
/// is still open holds back the logs of all.
const LIMIT: Duration = Duration::from_secs(20);

/// What a watch tells, as the tests compare it.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Told {
    /// The user id and the etag.
    Profile(String, String),
    Gone(String),
    CaughtUp,
}

/// A watch, and where it stands.
struct Watching {
    stream: Streaming<WatchProfilesResponse>,
    cursor: String,
    has_caught_up: bool,
}

impl Watching {
    async fn begin(person: &Person, user_ids: &[&str]) -> Self {
        Self::resume(person, user_ids, "").await.unwrap()
    }

    async fn resume(person: &Person, user_ids: &[&str], cursor: &str) -> Result<Self, Status> {
        let user_ids = user_ids.iter().map(ToString::to_string).collect();
        let request = WatchProfilesRequest { user_ids, cursor: cursor.to_owned() };
        let answer = timeout(LIMIT, person.user().watch_profiles(request)).await.unwrap()?;
        let (stream, cursor) = (answer.into_inner(), cursor.to_owned());
        Ok(Self { stream, cursor, has_caught_up: false })
    }

    /// What is told next. Said once more, that nothing is left moves the cursor only: behind an
    /// entry of what was told before it could be read.
    async fn try_next(&mut self) -> Result<Told, Status> {
        loop {
            let message = timeout(LIMIT, self.stream.message()).await.expect("a message in time");
            let message = message?.expect("a watch ends with a status");
            self.cursor = message.cursor;
            return Ok(match message.event {
                Some(Event::Profile(profile)) => Told::Profile(profile.user_id, profile.etag),
                Some(Event::GoneUserId(user_id)) => Told::Gone(user_id),
                None if self.has_caught_up => continue,
                None => {
                    self.has_caught_up = true;
                    Told::CaughtUp
                }
            });
        }
    }

    async fn next(&mut self) -> Told {
        self.try_next().await.unwrap()
    }

    /// What is told up to the point where nothing is left.
    async fn until_caught_up(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        loop {
            match self.next().await {
                Told::CaughtUp => return told,
                one => told.push(one),
            }
        }
    }

    /// The next change. It may come later than the word that nothing is left: what a transaction of
    /// before may not see yet is told when that has ended.
    async fn next_change(&mut self) -> Told {
        loop {
            match self.next().await {
                Told::CaughtUp => {}
                one => return one,
            }
        }
    }

    /// Insists that nothing is told for longer than the log is left alone.
    async fn tells_nothing(&mut self) {
        let told = timeout(Duration::from_millis(1500), self.next()).await;
        assert!(told.is_err(), "{told:?}");
    }

    /// Insists that there is no message for a while, not even one that tells nothing.
    async fn is_silent(&mut self) {
        let told = timeout(Duration::from_millis(300), self.stream.message()).await;
        assert!(told.is_err(), "{told:?}");
    }
}

fn told(profile: &Profile) -> Told {
    Told::Profile(profile.user_id.clone(), profile.etag.clone())
}

fn gone(user_id: &str) -> Told {
    Told::Gone(user_id.to_owned())
}

/// Whether every entry of the log can be read: no transaction of before is open.
async fn is_settled(app: &App) -> bool {
    let unsettled = "select count(*) from mayfly.change
                     where xid >= pg_snapshot_xmin(pg_current_snapshot())";
    app.sql_count(unsettled).await == 0
}

/// Waits until that is so. What is told before may leave out what was committed last.
async fn settles(app: &App) {
    until("every entry can be read", LIMIT, || async { is_settled(app).await }).await;
}

async fn create(person: &Person, handle: &str) -> Profile {
    let profile =
        Profile { handle: handle.into(), display_name: handle.into(), ..Default::default() };
    let request = keyed(CreateProfileRequest { profile: Some(profile) });
    person.user().create_profile(request).await.unwrap().into_inner()
}

async fn update(person: &Person, profile: Profile) -> Profile {
    let request = keyed(UpdateProfileRequest { profile: Some(profile), update_mask: None });
    person.user().update_profile(request).await.unwrap().into_inner()
}

async fn say(person: &Person, bio: &str) -> Profile {
    update(person, Profile { bio: bio.into(), ..Default::default() }).await
}

async fn show(person: &Person, visibility: Visibility) -> Profile {
    update(person, Profile { visibility: visibility.into(), ..Default::default() }).await
}

async fn delete(person: &Person) {
    let request = keyed(DeleteProfileRequest::default());
    person.user().delete_profile(request).await.unwrap();
}

#[tokio::test]
async fn ones_own_changes_are_told_as_they_happen() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let mut watching = Watching::begin(&ada, &[]).await;
    assert_eq!(watching.next().await, gone("ada-uid"));
    assert_eq!(watching.cursor, "", "a snapshot is not gone on from");
    assert_eq!(watching.next().await, Told::CaughtUp);
    assert_ne!(watching.cursor, "");

    let created = create(&ada, "ada").await;
    assert_eq!(watching.next().await, told(&created));
    for bio in ["one", "two", "three"] {
        let said = say(&ada, bio).await;
        assert_eq!(watching.next().await, told(&said));
    }
    delete(&ada).await;
    assert_eq!(watching.next().await, gone("ada-uid"));
    let again = create(&ada, "ada").await;
    assert_eq!(watching.next().await, told(&again));
    watching.is_silent().await;
}

#[tokio::test]
async fn a_watch_goes_on_from_its_cursor() {
    let app = App::start().await;
    let ada = app.person("ada-uid");
    let created = create(&ada, "ada").await;
    let mut watching = Watching::begin(&ada, &[]).await;
    assert_eq!(watching.until_caught_up().await, [told(&created)]);
    let first = say(&ada, "first").await;
    assert_eq!(watching.next().await, told(&first));
    let cursor = watching.cursor.clone();
    drop(watching);

    // Nothing happened: nothing is told, however often it is asked.
    for _ in 0..3 {
        let mut resumed = Watching::resume(&ada, &[], &cursor).await.unwrap();
        assert_eq!(resumed.next().await, Told::CaughtUp);
    }
    // Of what happened the last is told, and goes on where the watch was.
    say(&ada, "second").await;
    let third = say(&ada, "third").await;
    settles(&app).await;
    let mut resumed = Watching::resume(&ada, &[], &cursor).await.unwrap();
    assert_eq!(resumed.until_caught_up().await, [told(&third)]);
    let fourth = say(&ada, "fourth").await;
    assert_eq!(resumed.next().await, told(&fourth));
    let mut once_more = Watching::resume(&ada, &[], &resumed.cursor).await.unwrap();
    assert_eq!(once_more.next().await, Told::CaughtUp);
}

#[tokio::test]
async fn a_watch_goes_on_at_another_server() {
    let first = App::start().await;
    let ada = first.person("ada-uid");
    let created = create(&ada, "ada").await;
    let mut watching = Watching::begin(&ada, &[]).await;
    assert_eq!(watching.until_caught_up().await, [told(&created)]);
    let cursor = watching.cursor.clone();
    let database = first.database.clone();
    drop(watching);
    first.stopped().await;

    let second = App::builder().database(&database).start().await;
    let ada = second.person("ada-uid");
    let said = say(&ada, "meanwhile").await;
    settles(&second).await;
    let mut resumed = Watching::resume(&ada, &[], &cursor).await.unwrap();
    assert_eq!(resumed.until_caught_up().await, [told(&said)]);
}

/// Updates go on at one server while the other, where the watch is, is drained again and again.
#[tokio::test]
async fn over_drains_nothing_is_lost_or_repeated() {
    const DRAINS: usize = 12;
    let writer = App::start().await;
    let ada = writer.person("ada-uid");
    let mut versions = vec![create(&ada, "ada").await];
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for drain in 0..DRAINS {
        let mut app = App::builder().database(&writer.database).start().await;
        let person = app.person("ada-uid");
        let mut watching = Watching::resume(&person, &[], &cursor).await.unwrap();
        let end = loop {
            match watching.try_next().await {
                Ok(Told::CaughtUp) => {
                    versions.push(say(&ada, &format!("{drain}")).await);
                    versions.push(say(&ada, &format!("{drain} again")).await);
                    app.stop();
                }
                Ok(one) => seen.push(one),
                Err(end) => break end,
            }
        };
        let end = tests::told(&end);
        assert_eq!((end.code, &*end.reason), (tonic::Code::Unavailable, "DRAINING"));
        assert!(end.retry_delay.is_some());
        cursor = watching.cursor;
        versions.push(say(&ada, &format!("{drain} meanwhile")).await);
        app.stopped().await;
    }
    settles(&writer).await;
    let mut watching = Watching::resume(&ada, &[], &cursor).await.unwrap();
    seen.extend(watching.until_caught_up().await);

    // Those that were followed at once may be passed over; the others are there, once, in order.
    let mut versions = versions.iter().map(told);
    for one in &seen {
        assert!(versions.any(|version| version == *one), "{one:?} is repeated or out of order");
    }
    assert_eq!(versions.next(), None, "the last version is told");
    assert!(seen.len() > DRAINS, "{}", seen.len());
}
