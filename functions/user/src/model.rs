//! What a profile is, who may see it, and how it changes. Pure: no clock, no network, no SQL.

use chrono::{DateTime, Utc};
use fault::{Fault, Reason};
use identity::UserId;
use prost_types::{FieldMask, Timestamp};
use proto::{Violation, user::v1};
use uuid::Uuid;

/// Handles that would speak for the app or for its staff.
const RESERVED_HANDLES: [&str; 5] = ["admin", "support", "root", "mayfly", "me"];

#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) user_id: UserId,
    pub(crate) handle: String,
    /// The handle as it is compared and sorted; the database makes it.
    pub(crate) handle_key: String,
    pub(crate) display_name: String,
    pub(crate) bio: String,
    pub(crate) locale: String,
    pub(crate) avatar_file_id: Option<Uuid>,
    pub(crate) visibility: Visibility,
    pub(crate) etag: Uuid,
    pub(crate) create_time: DateTime<Utc>,
    pub(crate) update_time: DateTime<Utc>,
}

/// Who may see a profile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Visibility {
    Private,
    Public,
}

/// A field that a person may change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    Handle,
    DisplayName,
    Bio,
    Locale,
    AvatarFileId,
    Visibility,
}

/// What a person asks to be changed, and in which version.
#[derive(Debug)]
pub(crate) struct Changes {
    fields: Vec<Field>,
    to: v1::Profile,
}

/// A change to a profile, as the change log keeps it: whom it concerns, and which version it made.
#[derive(Debug)]
pub(crate) struct Announcement {
    pub(crate) topic: String,
    pub(crate) user_id: UserId,
    pub(crate) etag: Option<Uuid>,
}

/// The people whose profiles somebody watches.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) viewer: UserId,
    pub(crate) user_ids: Vec<String>,
}

impl Profile {
    /// A new profile; private unless it says otherwise.
    pub(crate) fn new(user_id: &UserId, asked: Option<&v1::Profile>) -> Result<Self, Fault> {
        let asked = asked.cloned().unwrap_or_default();
        let blank = Self {
            user_id: user_id.clone(),
            handle: String::new(),
            handle_key: String::new(),
            display_name: String::new(),
            bio: String::new(),
            locale: String::new(),
            avatar_file_id: None,
            visibility: Visibility::Private,
            etag: Uuid::nil(),
            create_time: DateTime::default(),
            update_time: DateTime::default(),
        };
        let mut fields = Field::ALL.to_vec();
        if asked.visibility == 0 {
            fields.retain(|field| *field != Field::Visibility);
        }
        Changes::checked(fields, asked)?.applied(blank)
    }

    /// A private profile is its owner's alone to see.
    pub(crate) fn is_visible_to(&self, user_id: &UserId) -> bool {
        self.visibility == Visibility::Public || self.user_id == *user_id
    }

    /// Whether it is the version that the person saw, if they say which.
    pub(crate) fn check_etag(&self, etag: &str) -> Result<(), Fault> {
        let is_same = etag.is_empty() || etag == self.etag.to_string();
        if is_same { Ok(()) } else { Err(Reason::EtagMismatch.into()) }
    }

    fn set(&mut self, field: Field, to: &v1::Profile) -> Result<(), Fault> {
        match field {
            Field::Handle => self.handle.clone_from(&to.handle),
            Field::DisplayName => self.display_name.clone_from(&to.display_name),
            Field::Bio => self.bio.clone_from(&to.bio),
            Field::Locale => self.locale.clone_from(&to.locale),
            Field::AvatarFileId => {
                // The contract has checked that it is a UUID where it is given.
                let id = to.avatar_file_id.as_str();
                let id = (!id.is_empty()).then(|| Uuid::try_parse(id)).transpose();
                self.avatar_file_id = id.map_err(Fault::internal)?;
            }
            Field::Visibility => {
                self.visibility = match to.visibility() {
                    v1::Visibility::Public => Visibility::Public,
                    v1::Visibility::Private | v1::Visibility::Unspecified => Visibility::Private,
                };
            }
        }
        Ok(())
    }
}

impl Changes {
    /// Reads a change: the fields of the mask or, without one, those that are set.
    pub(crate) fn new(to: Option<&v1::Profile>, mask: Option<&FieldMask>) -> Result<Self, Fault> {
        let to = to.cloned().unwrap_or_default();
        let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
        let fields = if paths.is_empty() {
            Field::ALL.into_iter().filter(|field| field.is_set_in(&to)).collect()
        } else {
            let named = paths.iter().map(|path| Field::of_path(path));
            named.collect::<Option<Vec<_>>>().ok_or_else(|| {
                Fault::invalid("update_mask", "names a field that is unknown or read-only")
            })?
        };
        Self::checked(fields, to)
    }

    /// The changed profile, if it is still the version that the person saw.
    pub(crate) fn apply(&self, current: Profile) -> Result<Profile, Fault> {
        current.check_etag(&self.to.etag)?;
        self.applied(current)
    }

    fn applied(&self, mut profile: Profile) -> Result<Profile, Fault> {
        for field in &self.fields {
            profile.set(*field, &self.to)?;
        }
        Ok(profile)
    }

    fn checked(fields: Vec<Field>, to: v1::Profile) -> Result<Self, Fault> {
        let broken = fields.iter().filter_map(|field| {
            let description = field.refuses(&to)?;
            let field = format!("profile.{}", field.path());
            Some(Violation { field, description: description.into() })
        });
        let broken: Vec<_> = broken.collect();
        if broken.is_empty() { Ok(Self { fields, to }) } else { Err(Fault::violations(broken)) }
    }
}

impl Announcement {
    /// A profile that was `before` and is `after`. Strangers hear of it only if they may see one of
    /// the two: how often a private profile changes is nobody's to know.
    pub(crate) fn new(user_id: &UserId, before: Option<&Profile>, after: Option<&Profile>) -> Self {
        let is_public = |profile: &Profile| profile.visibility == Visibility::Public;
        let concerns_all = before.is_some_and(is_public) || after.is_some_and(is_public);
        let [own, of_all] = Self::topics(user_id.as_str());
        Self {
            topic: if concerns_all { of_all } else { own },
            user_id: user_id.clone(),
            etag: after.map(|profile| profile.etag),
        }
    }

    /// The topics of a person's profile: what concerns only its owner, and what concerns everybody.
    pub(crate) fn topics(user_id: &str) -> [String; 2] {
        [format!("user.private_profile/{user_id}"), format!("user.profile/{user_id}")]
    }
}

impl Watched {
    /// What `viewer` watches: those who are named, or themself.
    pub(crate) fn new(viewer: &UserId, mut user_ids: Vec<String>) -> Self {
        if user_ids.is_empty() {
            user_ids.push(viewer.as_str().to_owned());
        }
        Self { viewer: viewer.clone(), user_ids }
    }

    /// The topics under which a change is told to the viewer.
    pub(crate) fn topics(&self) -> Vec<String> {
        let of_one = |user_id: String| {
            let [own, of_all] = Announcement::topics(&user_id);
            let own = (user_id == self.viewer.as_str()).then_some(own);
            own.into_iter().chain([of_all])
        };
        people(&self.user_ids).into_iter().flat_map(of_one).collect()
    }
}

/// The names that could be somebody's: what cannot be an id names nobody.
pub(crate) fn people(user_ids: &[String]) -> Vec<String> {
    user_ids.iter().filter(|user_id| UserId::parse(user_id).is_some()).cloned().collect()
}

impl Field {
    const ALL: [Self; 6] = [
        Self::Handle,
        Self::DisplayName,
        Self::Bio,
        Self::Locale,
        Self::AvatarFileId,
        Self::Visibility,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::DisplayName => "display_name",
            Self::Bio => "bio",
            Self::Locale => "locale",
            Self::AvatarFileId => "avatar_file_id",
            Self::Visibility => "visibility",
        }
    }

    fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.path() == path)
    }

    fn is_set_in(self, profile: &v1::Profile) -> bool {
        match self {
            Self::Handle => !profile.handle.is_empty(),
            Self::DisplayName => !profile.display_name.is_empty(),
            Self::Bio => !profile.bio.is_empty(),
            Self::Locale => !profile.locale.is_empty(),
            Self::AvatarFileId => !profile.avatar_file_id.is_empty(),
            Self::Visibility => profile.visibility != 0,
        }
    }

    /// What is wrong with the field's value, beyond the bounds that the contract has checked.
    fn refuses(self, profile: &v1::Profile) -> Option<&'static str> {
        match self {
            Self::Handle => refuses_handle(&profile.handle),
            Self::DisplayName => refuses_display_name(&profile.display_name),
            Self::Locale => refuses_locale(&profile.locale),
            Self::Visibility if profile.visibility == 0 => Some("must be given"),
            Self::Bio | Self::AvatarFileId | Self::Visibility => None,
        }
    }
}

fn refuses_handle(handle: &str) -> Option<&'static str> {
    let begins_with_letter = handle.starts_with(|first: char| first.is_ascii_alphabetic());
    let of_the_alphabet = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if handle.is_empty() {
        Some("is required")
    } else if !begins_with_letter || !handle.chars().all(of_the_alphabet) {
        Some("must be letters, digits and underscores, a letter first")
    } else if RESERVED_HANDLES.contains(&handle.to_ascii_lowercase().as_str()) {
        Some("is reserved")
    } else {
        None
    }
}

fn refuses_display_name(name: &str) -> Option<&'static str> {
    if name.trim().is_empty() {
        Some("is required")
    } else if name.chars().any(char::is_control) {
        Some("must not contain control characters")
    } else {
        None
    }
}

/// The shape of a BCP 47 tag: subtags of 1 to 8 letters and digits, the language's letters first.
fn refuses_locale(locale: &str) -> Option<&'static str> {
    let is_subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let language = locale.split('-').next().unwrap_or_default();
    let has_language = language.len() >= 2 && language.chars().all(|c| c.is_ascii_alphabetic());
    let is_tag = locale.is_empty() || (has_language && locale.split('-').all(is_subtag));
    (!is_tag).then_some("must be a BCP 47 language tag")
}

/// A number of ours, read back; the table's own check keeps others out.
impl From<i16> for Visibility {
    fn from(number: i16) -> Self {
        if number == 2 { Self::Public } else { Self::Private }
    }
}

impl From<Visibility> for i16 {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Private => 1,
            Visibility::Public => 2,
        }
    }
}

impl From<Profile> for v1::Profile {
    fn from(profile: Profile) -> Self {
        let Profile {
            user_id,
            handle,
            handle_key: _,
            display_name,
            bio,
            locale,
            avatar_file_id,
            visibility,
            etag,
            create_time,
            update_time,
        } = profile;
        Self {
            user_id: user_id.into(),
            handle,
            display_name,
            bio,
            locale,
            avatar_file_id: avatar_file_id.map(|id| id.to_string()).unwrap_or_default(),
            visibility: i16::from(visibility).into(),
            etag: etag.to_string(),
            create_time: Some(timestamp(create_time)),
            update_time: Some(timestamp(update_time)),
        }
    }
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    let nanos = i32::try_from(time.timestamp_subsec_nanos()).unwrap_or(999_999_999);
    Timestamp { seconds: time.timestamp(), nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> v1::Profile {
        v1::Profile { handle: "Ada".into(), display_name: "Ada".into(), ..Default::default() }
    }

    fn user() -> UserId {
        UserId::from("ada-uid".to_owned())
    }

    #[test]
    fn a_profile_is_private_unless_it_says_otherwise() {
        let profile = Profile::new(&user(), Some(&ada())).unwrap();
        assert_eq!(profile.visibility, Visibility::Private);
        assert!(profile.is_visible_to(&user()));
        assert!(!profile.is_visible_to(&UserId::from("bob-uid".to_owned())));
    }

    #[test]
    fn a_handle_is_a_word_that_speaks_for_nobody_else() {
        for good in ["Ada", "a_1", "ADMINS", "abc"] {
            assert_eq!(refuses_handle(good), None, "{good}");
        }
        for bad in ["", "1ab", "_ab", "a-b", "a b", "Admin", "me", "ädä", "a\u{202e}b"] {
            assert!(refuses_handle(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_locale_is_a_language_tag_or_nothing() {
        for good in ["", "en", "de-AT", "zh-Hant-TW", "sr-Latn-RS-1996"] {
            assert_eq!(refuses_locale(good), None, "{good}");
        }
        for bad in ["e", "en_US", "en-", "-en", "en--US", "12", "en-waytoolong", "en\n"] {
            assert!(refuses_locale(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn without_a_mask_only_the_fields_that_are_set_change() {
        let profile = Profile::new(&user(), Some(&ada())).unwrap();
        let to = v1::Profile { bio: "Counts".into(), ..Default::default() };
        let changed = Changes::new(Some(&to), None).unwrap().apply(profile).unwrap();
        assert_eq!((changed.bio.as_str(), changed.handle.as_str()), ("Counts", "Ada"));
    }

    #[test]
    fn a_mask_empties_what_it_names_and_nothing_else() {
        let asked = v1::Profile { bio: "Counts".into(), locale: "en".into(), ..ada() };
        let profile = Profile::new(&user(), Some(&asked)).unwrap();
        let mask = FieldMask { paths: vec!["bio".into()] };
        let to = v1::Profile { locale: "de".into(), ..Default::default() };
        let changed = Changes::new(Some(&to), Some(&mask)).unwrap().apply(profile).unwrap();
        assert_eq!((changed.bio.as_str(), changed.locale.as_str()), ("", "en"));
    }

    #[test]
    fn what_is_not_a_persons_to_change_is_refused() {
        for path in ["*", "user_id", "etag", "create_time", "update_time", "nope", "Handle", ""] {
            let mask = FieldMask { paths: vec![path.into()] };
            let fault = Changes::new(Some(&ada()), Some(&mask)).unwrap_err();
            assert_eq!(fault.reason(), Reason::InvalidArgument, "{path}");
        }
        for path in ["handle", "display_name", "visibility"] {
            let mask = FieldMask { paths: vec![path.into()] };
            let nothing = v1::Profile::default();
            assert!(Changes::new(Some(&nothing), Some(&mask)).is_err(), "{path}");
        }
    }

    #[test]
    fn an_older_version_is_not_changed() {
        let profile = Profile::new(&user(), Some(&ada())).unwrap();
        let to = v1::Profile { etag: Uuid::max().to_string(), ..ada() };
        let fault = Changes::new(Some(&to), None).unwrap().apply(profile.clone()).unwrap_err();
        assert_eq!(fault.reason(), Reason::EtagMismatch);
        let to = v1::Profile { etag: profile.etag.to_string(), ..ada() };
        assert!(Changes::new(Some(&to), None).unwrap().apply(profile).is_ok());
    }
}
