//! A person's sign-ins, and how they end: at once in every function, whatever Firebase knows of it.

use std::time::Duration;

use call::{Call, SignedIn, signed_in};
use database::Tx;
use fault::{Fault, Reason};
use identity::UserId;
use page::Asked;
use proto::auth::v1::{
    ListSessionsRequest, ListSessionsResponse, RevokeAllSessionsRequest, RevokeAllSessionsResponse,
    RevokeSessionRequest, RevokeSessionResponse, SignOutRequest, SignOutResponse,
};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Request, Response};

use super::{Answer, AuthService, Event, What};
use crate::{
    model::Untold,
    remote::{Error, Refusal},
    store,
};

/// How long whoever signs in waits at most while Firebase is told of somebody else.
const TELL_MAX: Duration = Duration::from_secs(1);

impl AuthService {
    pub(super) async fn lists_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Answer<ListSessionsResponse> {
        let (call, mut query) = signed_in(request)?;
        let asked = Asked::take(&mut query.page_size, &mut query.page_token);
        let (pool, clock) = (&self.context.pool, &self.context.clock);
        let auth_time = auth_time(&call)?;

        let page = asked.page(pool, clock, &call, &query).await?;
        let (after, rows_max) = (page.after(), page.rows_max());
        let sessions = store::list_sessions(pool, &call.user_id, after, rows_max).await?;
        let (sessions, next_page_token) = page.cut(sessions, |session| &session.id);

        let sessions = sessions.into_iter().map(|session| session.told_to(auth_time)).collect();
        Ok(Response::new(ListSessionsResponse { sessions, next_page_token }))
    }

    pub(super) async fn signs_out(
        &self,
        request: Request<SignOutRequest>,
    ) -> Answer<SignOutResponse> {
        let (call, SignOutRequest {}) = signed_in(request)?;
        let (call, auth_time) = (&call, auth_time(&call)?);

        let sign_out = |tx: Tx| async move {
            self.may_still(&tx, call).await?;
            self.end(&tx, call, (auth_time, What::SignedOut)).await
        };
        self.context.pool.transaction(sign_out).await?;

        Ok(Response::new(SignOutResponse {}))
    }

    pub(super) async fn revokes_session(
        &self,
        request: Request<RevokeSessionRequest>,
    ) -> Answer<RevokeSessionResponse> {
        let (call, RevokeSessionRequest { session_id }) = signed_in(request)?;
        let (call, session_id) = (&call, &session_id);

        let revoke = |tx: Tx| async move {
            self.may_still(&tx, call).await?;
            let session = store::lock_session(&tx, &call.user_id, session_id).await?;
            let session = session.ok_or(Reason::NotFound)?;
            self.end(&tx, call, (session.auth_time, What::SessionRevoked)).await
        };
        self.context.pool.transaction(revoke).await?;

        Ok(Response::new(RevokeSessionResponse {}))
    }

    pub(super) async fn revokes_all_sessions(
        &self,
        request: Request<RevokeAllSessionsRequest>,
    ) -> Answer<RevokeAllSessionsResponse> {
        let (call, RevokeAllSessionsRequest {}) = signed_in(request)?;
        let (call, last) = (&call, last_second(&call)?.max(self.context.clock.unix_secs()));
        // Sign-ins of that second as well: of those nobody knows which came first.
        let valid_from = last + 1;

        self.end_all(call, valid_from).await?;
        // Ended here, whatever becomes of this. The caller's own token counts no longer, so nothing
        // is left to them: what Firebase is not told now, it is told later.
        let is_told = self.tells_in_time(call, valid_from).await;
        if !is_told {
            let event = Event::of_person(What::SessionsRevokedHere, &call.user_id);
            let _unwritten = self.note_alone(call, &event).await;
        }

        Ok(Response::new(RevokeAllSessionsResponse { revoked_at_issuer: is_told }))
    }

    /// Ends the caller's sign-in of one second.
    async fn end(
        &self,
        tx: &Tx,
        call: &SignedIn,
        (auth_time, what): (i64, What),
    ) -> Result<(), Fault> {
        let user_id = &call.user_id;
        store::revoke_sessions(tx, user_id, (auth_time, auth_time), self.now()).await?;
        self.context.revocations.revoke_session(tx, user_id, auth_time).await?;
        self.note(tx, call, Event::of_person(what, user_id)).await
    }

    async fn end_all(&self, call: &SignedIn, valid_from: i64) -> Result<(), Fault> {
        let user_id = &call.user_id;
        let end = |tx: Tx| async move {
            self.may_still(&tx, call).await?;
            store::revoke_sessions(&tx, user_id, (0, valid_from - 1), self.now()).await?;
            self.context.revocations.revoke(&tx, user_id, valid_from).await?;
            if self.toolkit.has_admin() {
                store::add_untold(&tx, user_id, valid_from, self.now()).await?;
            }
            self.note(&tx, call, Event::of_person(What::SessionsRevoked, user_id)).await
        };
        self.context.pool.transaction(end).await
    }

    /// Has Firebase revoke the refresh tokens, if it can be told; whether it was.
    async fn tells(&self, call: &Call, user_id: &UserId, valid_from: i64) -> bool {
        let is_told = match self.toolkit.revoke(call, user_id, valid_from).await {
            // Whoever has no account has no refresh tokens.
            Ok(()) | Err(Error::Refused(Refusal::NoAccount)) => true,
            Err(_error) => false,
        };
        if is_told {
            // What stays is told once more, which changes nothing.
            let _kept = store::drop_untold(&self.context.pool, user_id, valid_from).await;
        }
        is_told
    }

    /// The same of the caller, within half of what is left of the call: the rest is for saying so.
    async fn tells_in_time(&self, call: &SignedIn, valid_from: i64) -> bool {
        let now = Instant::now();
        let left = call.deadline.map_or(TELL_MAX, |end| end.saturating_duration_since(now));
        let end = now + left / 2;
        // Whoever waits for another's access token does not look at the time themselves.
        let asked = call.until(end);
        timeout_at(end, self.tells(&asked, &call.user_id, valid_from)).await.unwrap_or(false)
    }

    /// Tells Firebase of one revocation that it has not been told of, if there is any and it does not
    /// take long. Whoever calls has nothing to do with it, and neither has where they call from.
    pub(super) async fn tell_untold(&self, call: &Call) {
        let call = &Call { address: None, ..call.clone() };
        let tell = async {
            let taken = store::take_untold(&self.context.pool, self.now()).await?;
            let Some(Untold { person_id, valid_from }) = taken else { return Ok(()) };
            if !self.tells(call, &person_id, valid_from).await {
                return Ok(());
            }
            let event = Event::of_person(What::SessionsRevokedLater, &person_id);
            self.note_alone(call, &event).await
        };
        let _outcome = timeout(TELL_MAX, tell).await;
    }
}

/// When the caller signed in.
fn auth_time(call: &SignedIn) -> Result<i64, Fault> {
    let person = call.caller.person().ok_or(Reason::TokenMissing)?;
    Ok(person.auth_time)
}

/// The last second that the caller's token knows of. It goes by Firebase's clock, before which ours may
/// be behind.
fn last_second(call: &SignedIn) -> Result<i64, Fault> {
    let person = call.caller.person().ok_or(Reason::TokenMissing)?;
    Ok(person.auth_time.max(person.issue_time))
}
