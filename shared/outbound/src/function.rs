//! Calls to another function of ours, over a channel that is made when it is first used.

use std::{fmt, sync::Arc, time::Duration};

use call::{Call, RequestId};
use clock::Clock;
use fault::{Cause, Reason, causes};
use http::{HeaderMap, HeaderValue};
use identity::{Provider, ProviderError, ServiceName};
use proto::Mutation;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout_at,
};
use tonic::{
    Code, Request, Response, Status, TimeoutExpired,
    transport::{Channel, Endpoint, Uri},
};

use crate::{
    Error, Told,
    breaker::Verdict,
    dependency::{Again, Attempt, Dependency, Errand, Failed},
    kept::Kept,
    link::{Link, Sent},
    pushback::Pushback,
};

/// How often a function that owes us an answer is asked whether it is there, and for how long.
const KEEPALIVE: Duration = Duration::from_secs(5);
const KEEPALIVE_MAX: Duration = Duration::from_secs(2);

/// Calls at a time over the one connection: what a function takes of one by default
/// (`MAX_STREAMS_PER_CONN`). One more would wait in h2, where it looks like a function that hangs.
const CALLS_MAX: usize = 100;

/// How much sooner than the attempt the wait for a place or a token ends, so that it is known what
/// ended.
const WAIT_MARGIN: Duration = Duration::from_millis(2);

/// How often one attempt is begun, where the function did not see the call.
const BEGINNINGS_MAX: u32 = 2;

/// A client of one function. Clones share its connection.
#[derive(Clone)]
pub struct Function {
    dependency: Arc<Dependency>,
    endpoint: Endpoint,
    channel: Arc<Kept<Channel>>,
    places: Arc<Semaphore>,
    tokens: Option<Arc<Provider>>,
}

impl Function {
    pub(crate) fn new(
        dependency: Arc<Dependency>,
        address: Uri,
        clock: Clock,
        tokens: Option<Arc<Provider>>,
    ) -> Self {
        let endpoint = Endpoint::from(address)
            .connect_timeout(dependency.settings.connect_max)
            .tcp_nodelay(true)
            // A connection that died is found out by the calls that wait for it. Only by them: an
            // idle one must not keep a machine awake.
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_MAX)
            .keep_alive_while_idle(false);
        let (channel, places) = (Arc::new(Kept::new(clock)), Arc::new(Semaphore::new(CALLS_MAX)));
        Self { dependency, endpoint, channel, places, tokens }
    }

    /// Calls a unary RPC within the deadline of `call`, and again if its contract allows it and
    /// that can help. `rpc` is handed what the generated client is made from:
    ///
    /// ```no_run
    /// # use proto::user::v1::{GetProfileRequest, user_service_client::UserServiceClient};
    /// # async fn example(
    /// #     users: outbound::Function, call: call::Call
    /// # ) -> Result<(), outbound::Error> {
    /// let answer = users.call(&call, GetProfileRequest::default(), |link, request| async move {
    ///     UserServiceClient::new(link).get_profile(request).await
    /// });
    /// let profile = answer.await?.into_inner();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn call<Q, A, R, F>(
        &self,
        call: &Call,
        message: Q,
        rpc: R,
    ) -> Result<Response<A>, Error>
    where
        Q: Clone + Send + Sync,
        A: Send,
        R: Fn(Link, Request<Q>) -> F + Send + Sync,
        F: Future<Output = Result<Response<A>, Status>> + Send,
    {
        let mut headers = HeaderMap::new();
        call.onward.add_to(&mut headers);
        headers.insert(RequestId::HEADER, call.id.to_value());
        let sent = Arc::new(Sent::new(headers, call.idempotency_key.clone()));
        self.dependency.call(call, &Asked { function: self, message, rpc, sent }).await
    }

    /// The channel, which connects when it is first used, and again whenever it must.
    fn channel(&self) -> Channel {
        self.channel.get().unwrap_or_else(|| self.channel.keep(self.endpoint.connect_lazy()))
    }

    /// A place on the connection, for one attempt.
    async fn place(&self, attempt: Attempt) -> Result<SemaphorePermit<'_>, Failed> {
        let place = timeout_at(attempt.end - WAIT_MARGIN, self.places.acquire()).await;
        // Nobody closes it: there is a place, or no time.
        place.ok().and_then(Result::ok).ok_or_else(|| self.dependency.crowded(attempt))
    }

    /// Our own token, if we have any.
    async fn token(&self, attempt: Attempt) -> Result<Option<HeaderValue>, Failed> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let asked = timeout_at(attempt.end - WAIT_MARGIN, self.token_of(tokens)).await;
        let told = asked.unwrap_or_else(|_elapsed| Err(ProviderError::TimedOut.into()));
        let mut token = told.map_err(|cause| {
            // Whoever issues it is to blame, not the function that is called.
            self.dependency.unavailable(Verdict::Unknown, Again::Never, cause).unsent()
        })?;
        token.set_sensitive(true);
        Ok(Some(token))
    }

    async fn token_of(&self, tokens: &Arc<Provider>) -> Result<HeaderValue, Cause> {
        let callee = ServiceName::parse(self.dependency.name).ok_or("it is no function's name")?;
        Ok(HeaderValue::from_str(&tokens.token(&callee).await?)?)
    }

    /// What a status says: about the function, and about trying again.
    fn failed(&self, status: Status, attempt: Attempt) -> Failed {
        let pushback = Pushback::of_grpc(status.metadata().as_ref());
        let told = Told::of(&status);
        let unable =
            |verdict, again| self.dependency.unavailable(verdict, again, Told::of(&status));
        match status.code() {
            _ if is_out_of_time(&status) => self.dependency.timed_out(attempt),
            Code::DeadlineExceeded => {
                Failed { again: Again::Never, ..self.dependency.timed_out(attempt) }
            }
            Code::Unavailable => match standing(&status) {
                Standing::Passing => unable(Verdict::Well, Again::Never),
                Standing::Up => unable(Verdict::Well, pushback.into()),
                Standing::Down => unable(Verdict::Ill, pushback.into()),
            },
            // A connection that broke: only what came over the wire is an answer.
            Code::Unknown | Code::Cancelled if has_source(&status) => {
                unable(Verdict::Ill, Again::Scheduled)
            }
            // A stream or a connection that ended otherwise: tonic has a code for each way.
            _ if is_of_the_wire(&status) => unable(Verdict::Ill, Again::Scheduled),
            Code::ResourceExhausted if matches!(pushback, Pushback::After(_)) => {
                unable(Verdict::Well, pushback.into())
            }
            _ => {
                let dependency = self.dependency.name;
                let error = Error::Refused { dependency, status: Box::new(status), cause: told };
                Failed { error, verdict: Verdict::Well, again: Again::Never }
            }
        }
    }
}

/// What a function that says that it is unavailable is.
enum Standing {
    /// It works; what it calls itself does not. It has tried, and to ask it once more from here
    /// would multiply its tries by ours.
    Passing,
    /// It works, and takes no call at the moment.
    Up,
    /// It does not work, or is not there.
    Down,
}

fn standing(status: &Status) -> Standing {
    let Some(told) = fault::reason_of(status) else { return Standing::Down };
    let is = |reasons: &[Reason]| reasons.iter().any(|reason| reason.name() == told);
    if is(&[Reason::DependencyUnavailable, Reason::BreakerOpen]) {
        Standing::Passing
    } else if is(&[Reason::Shed, Reason::Draining, Reason::StreamAged, Reason::RateLimited]) {
        Standing::Up
    } else {
        Standing::Down
    }
}

fn has_source(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// Whether the channel's own timer was first, which is set to the same time as ours.
fn is_out_of_time(status: &Status) -> bool {
    causes(status).any(<dyn std::error::Error>::is::<TimeoutExpired>)
}

/// Whether HTTP/2 ended the call, and not the function.
fn is_of_the_wire(status: &Status) -> bool {
    causes(status).any(<dyn std::error::Error>::is::<hyper::Error>)
}

/// Whether the function did not see the call: it never left us, or met the goodbye of a connection,
/// or was refused, behind which nothing is processed (RFC 9113, 6.8 and 8.7).
fn is_unbegun(status: &Status) -> bool {
    causes(status).any(|cause| {
        cause.downcast_ref().is_some_and(hyper::Error::is_canceled)
            || cause.downcast_ref().is_some_and(is_unprocessed)
    })
}

fn is_unprocessed(error: &h2::Error) -> bool {
    let is = |reason| error.is_remote() && error.reason() == Some(reason);
    (error.is_go_away() && is(h2::Reason::NO_ERROR))
        || (error.is_reset() && is(h2::Reason::REFUSED_STREAM))
}

/// One call of an RPC, as often as it takes.
struct Asked<'f, Q, R> {
    function: &'f Function,
    message: Q,
    rpc: R,
    sent: Arc<Sent>,
}

// === impl Asked ===

impl<Q, A, R, F> Errand for Asked<'_, Q, R>
where
    Q: Clone + Send + Sync,
    A: Send,
    R: Fn(Link, Request<Q>) -> F + Send + Sync,
    F: Future<Output = Result<Response<A>, Status>> + Send,
{
    type Answer = Response<A>;

    async fn attempt(&self, attempt: Attempt) -> Result<Response<A>, Failed> {
        let _place = self.function.place(attempt).await?;
        let token = self.function.token(attempt).await?;
        let mut beginnings = 1;
        // A call that was not begun is begun again at once, whatever its contract says of repeats,
        // and is no retry: gRPC's own clients do the same (its proposal A6, transparent retries).
        loop {
            let link = Link::new(self.function.channel(), Arc::clone(&self.sent), attempt);
            let request = Request::new(self.message.clone());
            match (self.rpc)(link.showing(token.clone()), request).await {
                Err(status) if is_unbegun(&status) && beginnings < BEGINNINGS_MAX => {
                    beginnings += 1;
                }
                outcome => return outcome.map_err(|status| self.function.failed(status, attempt)),
            }
        }
    }

    fn is_repeatable(&self) -> bool {
        self.sent.method().is_some_and(|method| match method.rule.mutation {
            Mutation::NoSideEffects | Mutation::Idempotent => true,
            Mutation::ExactlyOnce => self.sent.has_key(),
            Mutation::NotRetryable => false,
        })
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.dependency.name).finish_non_exhaustive()
    }
}
