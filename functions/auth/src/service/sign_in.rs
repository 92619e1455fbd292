//! Accounts and sign-ins, which are Firebase's; none of these tells whether there is an account.

use call::{Call, anyone};
use database::Tx;
use fault::{Fault, Reason};
use identity::Person;
use proto::auth::v1::{
    RefreshTokenRequest, RefreshTokenResponse, RegisterRequest, RegisterResponse,
    SendPasswordResetRequest, SendPasswordResetResponse, SignInRequest, SignInResponse, Tokens,
};
use tonic::{Request, Response};

use super::{Answer, AuthService, Event, What, pace::Pace};
use crate::{
    model::{
        self, Session,
        attempt::{Kind, Subject},
    },
    remote::{Error, Refusal, SignedIn, SignedUp},
    store,
};

impl AuthService {
    pub(super) async fn registers(
        &self,
        request: Request<RegisterRequest>,
    ) -> Answer<RegisterResponse> {
        let (call, RegisterRequest { email, password }) = anyone(request)?;
        let subjects = self.subjects(&call, (Kind::Mail, &email)).await?;

        self.attempt(&call, &subjects).await?;
        let pace = Pace::begin();
        let outcome = self.make_account(&call, (&email, &password), &subjects[0]).await;
        pace.end().await;

        outcome?;
        Ok(Response::new(RegisterResponse {}))
    }

    /// Makes an account and has its address verified; or has the owner of the one that is there told.
    async fn make_account(
        &self,
        call: &Call,
        (email, password): (&str, &str),
        subject: &Subject,
    ) -> Result<(), Fault> {
        let event = match self.toolkit.sign_up(call, email, password).await {
            Ok(SignedUp { id_token }) => {
                self.toolkit.send_verification(call, &id_token).await?;
                let person = self.holder(&id_token).await?;
                Event::of_person(What::Registered, &person.user_id)
            }
            Err(Error::Refused(Refusal::EmailExists)) => {
                self.reset_password(call, email).await?;
                Event::of_subject(What::RegisteredAgain, &subject.hash)
            }
            Err(error) => return Err(error.into()),
        };
        self.note_alone(call, &event).await
    }

    pub(super) async fn signs_in(&self, request: Request<SignInRequest>) -> Answer<SignInResponse> {
        let (call, SignInRequest { email, password, device_name }) = anyone(request)?;
        let device_name = model::device_name(device_name)?;
        let subjects = self.subjects(&call, (Kind::Account, &email)).await?;

        self.attempt(&call, &subjects).await?;
        let pace = Pace::begin();
        let signed_in = match self.toolkit.sign_in(&call, &email, &password).await {
            Ok(signed_in) => signed_in,
            Err(error) => {
                let fault = self.not_signed_in(&call, &subjects, error).await;
                pace.end().await;
                return Err(fault.into());
            }
        };
        let person = self.holder(&signed_in.id_token).await?;
        let session = self.keep(&call, &subjects, (&person, device_name)).await?;
        // Firebase answers, so it is told what it was not. Failing that, the next sign-in tells it.
        self.tell_untold(&call).await;

        let session = Some(session.told_to(person.auth_time));
        Ok(Response::new(SignInResponse { tokens: Some(tokens(&person, signed_in)), session }))
    }

    /// What is said when nobody was signed in: the same, whatever Firebase found wrong with it.
    async fn not_signed_in(&self, call: &Call, subjects: &[Subject; 2], error: Error) -> Fault {
        let (outcome, fault) = match error {
            Error::Refused(refusal) => {
                let event = Event::of_subject(What::SignInFailed, &subjects[0].hash);
                let fault = Fault::new(Reason::CredentialsInvalid).because(refusal);
                (self.note_alone(call, &event).await, fault)
            }
            error => (self.not_tried(subjects).await, error.into()),
        };
        outcome.err().unwrap_or(fault)
    }

    /// Keeps a sign-in.
    async fn keep(
        &self,
        call: &Call,
        subjects: &[Subject; 2],
        (person, device_name): (&Person, String),
    ) -> Result<Session, Fault> {
        let session = Session::new(person, device_name, self.now());
        let kept = &session;
        let keep = |tx: Tx| async move {
            store::create_session(&tx, kept).await?;
            self.succeeded(&tx, subjects).await?;
            self.note(&tx, call, Event::of_person(What::SignedIn, &person.user_id)).await
        };
        self.context.pool.transaction(keep).await?;
        Ok(session)
    }

    pub(super) async fn refreshes(
        &self,
        request: Request<RefreshTokenRequest>,
    ) -> Answer<RefreshTokenResponse> {
        let (call, RefreshTokenRequest { refresh_token }) = anyone(request)?;

        let subjects = self.refresher(&call).await?;

        self.attempt(&call, &subjects).await?;
        let signed_in = match self.toolkit.refresh(&call, &refresh_token).await {
            Ok(signed_in) => signed_in,
            // Deleted or disabled: the token was good once.
            Err(Error::Refused(Refusal::NoAccount)) => return Err(Reason::TokenRevoked.into()),
            Err(Error::Refused(refusal)) => return Err(Fault::from(refusal).into()),
            Err(error) => {
                self.not_tried(&subjects).await?;
                return Err(Fault::from(error).into());
            }
        };
        let person = self.holder(&signed_in.id_token).await?;
        if self.is_over(&person).await? {
            let event = Event::of_person(What::RefreshRefused, &person.user_id);
            self.note_alone(&call, &event).await?;
            return Err(Reason::TokenRevoked.into());
        }
        self.not_tried(&subjects).await?;

        Ok(Response::new(RefreshTokenResponse { tokens: Some(tokens(&person, signed_in)) }))
    }

    /// Whether a sign-in was ended here, of which Firebase may know nothing.
    async fn is_over(&self, person: &Person) -> Result<bool, Fault> {
        let (pool, user_id) = (&self.context.pool, &person.user_id);
        let ended = store::touch_sessions(pool, user_id, person.auth_time, self.now()).await?;
        if ended.contains(&true) {
            return Ok(true);
        }
        match self.context.revocations.check(person).await {
            Err(revocation::Error::Revoked) => Ok(true),
            // Made just now, it may be of the very second from which on tokens are taken.
            Ok(()) | Err(revocation::Error::Outdated) => Ok(false),
            Err(error @ revocation::Error::Unknown(_)) => {
                Err(Fault::new(Reason::DbUnavailable).because(error))
            }
        }
    }

    pub(super) async fn sends_password_reset(
        &self,
        request: Request<SendPasswordResetRequest>,
    ) -> Answer<SendPasswordResetResponse> {
        let (call, SendPasswordResetRequest { email }) = anyone(request)?;
        let subjects = self.subjects(&call, (Kind::Mail, &email)).await?;

        self.attempt(&call, &subjects).await?;
        let pace = Pace::begin();
        let outcome = self.reset_password(&call, &email).await;
        let event = Event::of_subject(What::PasswordResetSent, &subjects[0].hash);
        let noted = self.note_alone(&call, &event).await;
        pace.end().await;

        outcome.and(noted)?;
        Ok(Response::new(SendPasswordResetResponse {}))
    }

    /// Has a message sent, if there is an account.
    async fn reset_password(&self, call: &Call, email: &str) -> Result<(), Fault> {
        match self.toolkit.send_password_reset(call, email).await {
            Ok(()) | Err(Error::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
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
