//! Accounts and sign-ins, which are Firebase's; none of these tells whether there is an account.

use std::time::Duration;

use call::{Call, anyone};
use database::Tx;
use fault::{Cause, Fault, Reason};
use identity::Person;
use proto::auth::v1::{
    RefreshTokenRequest, RefreshTokenResponse, RegisterRequest, RegisterResponse,
    SendPasswordResetRequest, SendPasswordResetResponse, SignInRequest, SignInResponse, Tokens,
};
use tokio::time::Instant;
use tonic::{Code, Request, Response};

use super::{
    Answer, AuthService, Event, What,
    pace::{self, Pace},
};
use crate::{
    model::{
        self, Session,
        attempt::{Kind, Subject},
    },
    remote::{Error, Refusal, SignedIn, SignedUp},
    store,
};

/// How long an account may take to be made and told of: longer than any caller has for it.
const REGISTER_MAX: Duration = Duration::from_secs(20);

/// How many sign-ins of one person may be open. Whoever signs in once more ends the oldest.
const SESSIONS_MAX: i64 = 200;

impl AuthService {
    /// Comes to its end though the caller is gone: whoever leaves once Firebase has heard of it would
    /// have an account with an address that is told nothing, and learn that the address was free.
    pub(super) async fn registers(
        &self,
        request: Request<RegisterRequest>,
    ) -> Answer<RegisterResponse> {
        let (call, RegisterRequest { email, password }) = anyone(request)?;
        let call = call.until(Instant::now() + REGISTER_MAX);
        let place = self.places.enter()?;

        let (service, own) = (self.clone(), call.clone());
        let register = async move {
            let _place = place;
            service.register(&own, (&email, &password)).await
        };
        self.context.tasks.finish(&call, register).await?;

        Ok(Response::new(RegisterResponse {}))
    }

    async fn register(&self, call: &Call, (email, password): (&str, &str)) -> Result<(), Fault> {
        let subjects = self.subjects(call, (Kind::Mail, email)).await?;
        self.begin(call, &subjects, What::RegisterBegun).await?;
        let pace = Pace::begin(pace::LONG);
        let outcome = self.make_account(call, (email, password), &subjects).await;
        pace.end().await;
        outcome
    }

    /// Makes an account and has its address verified; or has the owner of the one that is there told.
    ///
    /// What the project asks of passwords is told before Firebase is asked for the account. Once it has
    /// said something that it says of one of the two alone, nothing more is told: neither what it thinks
    /// of the password, nor whether the message went out.
    async fn make_account(
        &self,
        call: &Call,
        (email, password): (&str, &str),
        subjects: &[Subject; 2],
    ) -> Result<(), Fault> {
        self.may_have(call, password, subjects).await?;
        let of_subject = |what| Event::of_subject(what, &subjects[0].hash);
        let (event, sent) = match self.toolkit.sign_up(call, email, password).await {
            Ok(SignedUp { user_id, id_token }) => {
                let sent = self.toolkit.send_verification(call, &id_token).await;
                (Event::of_person(What::Registered, &user_id), sent)
            }
            Err(Error::Refused(Refusal::EmailExists)) => {
                let sent = self.toolkit.send_password_reset(call, email).await;
                (of_subject(What::RegisteredAgain), sent)
            }
            Err(Error::Refused(Refusal::WeakPassword | Refusal::NotAlone)) => {
                (of_subject(What::RegisterRefused), Ok(()))
            }
            Err(error) => return Err(self.unasked(subjects, error).await),
        };
        if sent.is_err() {
            self.note_alone(call, &of_subject(What::MessageUnsent)).await?;
        }
        self.note_alone(call, &event).await
    }

    /// Whether a password is one that the project lets somebody have, as far as it tells.
    ///
    /// Where it is not, no message is due: whoever has the address does not wait for their next one
    /// because of what a stranger has tried with it.
    async fn may_have(
        &self,
        call: &Call,
        password: &str,
        subjects: &[Subject; 2],
    ) -> Result<(), Fault> {
        let (mail, all) = (&subjects[..1], &subjects[..]);
        let (fault, uncounted) = match self.toolkit.password_policy(call).await {
            Ok(policy) if !policy.admits(password) => (Refusal::WeakPassword.into(), mail),
            // What is not told here is found out by the account, and not told then.
            Ok(_) | Err(Error::Refused(_) | Error::Unexpected { .. }) => return Ok(()),
            Err(error) if error.may_have_left() => (Fault::from(error), mail),
            Err(error) => (Fault::from(error), all),
        };
        self.not_tried(uncounted).await?;
        Err(fault)
    }

    pub(super) async fn signs_in(&self, request: Request<SignInRequest>) -> Answer<SignInResponse> {
        let (call, SignInRequest { email, password, device_name }) = anyone(request)?;
        let device_name = model::device_name(device_name)?;
        let subjects = self.subjects(&call, (Kind::Account, &email)).await?;

        self.begin(&call, &subjects, What::SignInBegun).await?;
        let pace = Pace::begin(pace::SHORT);
        let outcome = match self.toolkit.sign_in(&call, &email, &password).await {
            Ok(signed_in) => self.kept(&call, &subjects, (signed_in, device_name)).await,
            Err(Error::Refused(refusal)) => {
                Err(self.not_signed_in(&call, &subjects[0], refusal).await)
            }
            // Nobody has learned anything of the password: an outage is not held against people.
            Err(error) if error.is_no_verdict() => Err(self.untried(&subjects, error).await),
            Err(error) => Err(self.unasked(&subjects, error).await),
        };
        let answer = match outcome {
            Ok(answer) => answer,
            Err(fault) => {
                pace.end().await;
                return Err(fault.into());
            }
        };
        // Firebase answers, so it is told what it was not. Failing that, the next sign-in tells it.
        self.tell_untold(&call).await;

        Ok(Response::new(answer))
    }

    /// What is said when nobody was signed in: the same, whatever Firebase found wrong with it, or
    /// whoever it is may not sign in here.
    async fn not_signed_in(
        &self,
        call: &Call,
        account: &Subject,
        refusal: impl Into<Cause>,
    ) -> Fault {
        let event = Event::of_subject(What::SignInFailed, &account.hash);
        let noted = self.note_alone(call, &event).await;
        let fault = Fault::new(Reason::CredentialsInvalid).because(refusal);
        noted.err().unwrap_or(fault)
    }

    /// Firebase has not answered. The attempt was none if it is known that nothing went out; else
    /// whoever leaves no time for the answer would try, and have messages sent, for nothing.
    async fn unasked(&self, subjects: &[Subject; 2], error: Error) -> Fault {
        if error.may_have_left() { error.into() } else { self.untried(subjects, error).await }
    }

    /// Takes back what was counted.
    async fn untried(&self, subjects: &[Subject; 2], error: Error) -> Fault {
        let uncounted = self.not_tried(subjects).await;
        uncounted.err().unwrap_or_else(|| error.into())
    }

    /// Keeps a sign-in. Where something of ours is in the way the password was right, and counts for
    /// no failure. Whoever is disabled here is answered and counted as at Firebase, which may not know
    /// yet: by anything else a right password would be told from a wrong one.
    async fn kept(
        &self,
        call: &Call,
        subjects: &[Subject; 2],
        what: (SignedIn, String),
    ) -> Result<SignInResponse, Fault> {
        match self.keep(call, subjects, what).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => {
                let refusal = revocation::Error::Disabled;
                Err(self.not_signed_in(call, &subjects[0], refusal).await)
            }
            Err(fault) => Err(self.not_tried(subjects).await.err().unwrap_or(fault)),
        }
    }

    /// The same, unless whoever it is is disabled.
    async fn keep(
        &self,
        call: &Call,
        subjects: &[Subject; 2],
        (signed_in, device_name): (SignedIn, String),
    ) -> Result<Option<SignInResponse>, Fault> {
        let person = &*self.holder(&signed_in.id_token).await?;
        let session = Session::new(person, device_name, self.now());
        let kept = &session;
        let keep = |tx: Tx| async move {
            // Whoever ends sign-ins comes before this or after it, and ends this one as well.
            store::lock_person(&tx, &person.user_id).await?;
            match self.context.revocations.refusal_in(&tx, person).await? {
                Some(revocation::Error::Disabled) => return Ok(false),
                Some(revocation::Error::Revoked) => return Err(over_already()),
                _ => {}
            }
            store::create_session(&tx, kept).await?;
            self.make_room(&tx, call, kept).await?;
            self.succeeded(&tx, subjects).await?;
            self.note(&tx, call, Event::of_person(What::SignedIn, &person.user_id)).await?;
            Ok(true)
        };
        if !self.context.pool.transaction(keep).await? {
            return Ok(None);
        }
        let session = Some(session.told_to(person.auth_time));
        Ok(Some(SignInResponse { tokens: Some(tokens(person, signed_in)), session }))
    }

    /// Ends the oldest sign-ins of a person who has too many, and drops those that are over: that they
    /// are the revocations say as well. It bounds what somebody has here who signs in again and again.
    async fn make_room(&self, tx: &Tx, call: &Call, latest: &Session) -> Result<(), Fault> {
        let user_id = &latest.user_id;
        if let Some(last) = store::get_surplus_sign_in(tx, user_id, SESSIONS_MAX).await? {
            // They end by their second, and with one of this second this one would.
            if last >= latest.auth_time {
                return Err(over_already());
            }
            store::revoke_sessions(tx, user_id, (0, last), self.now()).await?;
            self.context.revocations.revoke(tx, user_id, last + 1).await?;
            self.note(tx, call, Event::of_person(What::SessionRevoked, user_id)).await?;
        }
        store::drop_sessions(tx, user_id).await?;
        Ok(())
    }

    pub(super) async fn refreshes(
        &self,
        request: Request<RefreshTokenRequest>,
    ) -> Answer<RefreshTokenResponse> {
        let (call, RefreshTokenRequest { refresh_token }) = anyone(request)?;
        let address = self.address(&call, Kind::Refresh).await?;

        self.may_try(&address).await?;
        let signed_in = match self.toolkit.refresh(&call, &refresh_token).await {
            Ok(signed_in) => signed_in,
            Err(error) => {
                let fault = not_refreshed(error);
                if fault.reason().code() == Code::Unauthenticated {
                    // Whose token it was Firebase does not tell.
                    let event = Event::of_subject(What::RefreshRefused, &address[0].hash);
                    self.attempt_noted(&call, &address, &event).await?;
                }
                return Err(fault.into());
            }
        };
        let person = self.holder(&signed_in.id_token).await?;
        if self.is_over(&person).await? {
            let event = Event::of_person(What::RefreshRefused, &person.user_id);
            self.attempt_noted(&call, &address, &event).await?;
            return Err(Reason::TokenRevoked.into());
        }

        Ok(Response::new(RefreshTokenResponse { tokens: Some(tokens(&person, signed_in)) }))
    }

    /// Whether a sign-in was ended here, of which Firebase may know nothing. One that was not made here
    /// has no session that says so, and what this process knows may be of before it was ended.
    async fn is_over(&self, person: &Person) -> Result<bool, Fault> {
        let look = |tx: Tx| async move {
            let (user_id, now) = (&person.user_id, self.now());
            let ended = store::touch_sessions(&tx, user_id, person.auth_time, now).await?;
            let refusal = self.context.revocations.refusal_in(&tx, person).await?;
            // Made just now, it may be of the very second from which on tokens are taken.
            let is_refused = refusal.is_some_and(|it| !matches!(it, revocation::Error::Outdated));
            Ok(is_refused || ended.contains(&true))
        };
        self.context.pool.transaction(look).await
    }

    pub(super) async fn sends_password_reset(
        &self,
        request: Request<SendPasswordResetRequest>,
    ) -> Answer<SendPasswordResetResponse> {
        let (call, SendPasswordResetRequest { email }) = anyone(request)?;
        let _place = self.places.enter()?;
        let subjects = self.subjects(&call, (Kind::Mail, &email)).await?;

        self.begin(&call, &subjects, What::PasswordResetBegun).await?;
        let pace = Pace::begin(pace::LONG);
        let outcome = self.reset_password(&call, &email, &subjects).await;
        pace.end().await;

        outcome?;
        Ok(Response::new(SendPasswordResetResponse {}))
    }

    /// Has a message sent, if there is an account. Whatever Firebase answers, or does not in time, may
    /// be so for those alone who have one. What never went out is the same for everybody.
    async fn reset_password(
        &self,
        call: &Call,
        email: &str,
        subjects: &[Subject; 2],
    ) -> Result<(), Fault> {
        let what = match self.toolkit.send_password_reset(call, email).await {
            Ok(()) | Err(Error::Refused(Refusal::NoAccount)) => What::PasswordResetSent,
            Err(error) if error.may_have_left() => What::MessageUnsent,
            Err(error) => return Err(self.unasked(subjects, error).await),
        };
        self.note_alone(call, &Event::of_subject(what, &subjects[0].hash)).await
    }
}

/// A sign-in that is over before it began, as one of the second in which all were ended: the next one,
/// a second later, is not.
fn over_already() -> Fault {
    let fault = Fault::new(Reason::DependencyUnavailable).retry_in(Duration::from_secs(1));
    fault.because(revocation::Error::Revoked)
}

/// Why a sign-in does not go on.
fn not_refreshed(error: Error) -> Fault {
    match error {
        // Deleted or disabled: the token was good once.
        Error::Refused(Refusal::NoAccount) => Reason::TokenRevoked.into(),
        error => error.into(),
    }
}

fn tokens(person: &Person, signed_in: SignedIn) -> Tokens {
    let SignedIn { id_token, refresh_token } = signed_in;
    Tokens {
        user_id: person.user_id.as_str().to_owned(),
        id_token,
        refresh_token,
        expire_time: Some(model::second(person.expire_time)),
    }
}
