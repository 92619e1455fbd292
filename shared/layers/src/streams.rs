//! Bounds how many streams there are at a time: they last, and each keeps something for its client.
//!
//! No caller has more than a share, and strangers have places of their own, so that neither they
//! nor one caller can leave none to the others.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, Ipv6Addr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use call::Call;
use futures_util::future::{Either, Ready, ready as settled};
use http_body::Body as _;
use identity::{Caller, UserId};
use pin_project_lite::pin_project;
use proto::{Access, Kind};
use tonic::body::Body;
use tower::Service;

use crate::{
    Raised, Request, Response,
    body::Keeping,
    places::{Place, Places},
};

/// What part of the streams one caller may have, and how many at most; and what part beyond them
/// there is for streams of RPCs that are public.
const SHARE: usize = 10;
const CALLER_MAX: usize = 100;

/// There are as many streams as there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum TooManyStreams {
    /// Of all callers together.
    #[error("there are too many streams")]
    OfAll,
    /// Of this one.
    #[error("the caller has too many streams")]
    OfCaller,
}

/// Bounds the streams of `S`.
#[derive(Clone, Debug)]
pub(crate) struct Streams<S> {
    inner: S,
    rooms: Arc<Rooms>,
}

/// Where streams have their places.
#[derive(Debug)]
struct Rooms {
    known: Places,
    public: Places,
    caller_max: usize,
    callers: Mutex<HashMap<Whose, usize>>,
}

/// By what streams are counted.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Whose {
    Person(UserId),
    Address(IpAddr),
}

impl<S> Streams<S> {
    pub(crate) fn new(inner: S, streams_max: usize) -> Self {
        Self { inner, rooms: Arc::new(Rooms::new(streams_max)) }
    }
}

impl Rooms {
    fn new(streams_max: usize) -> Self {
        let share = (streams_max / SHARE).max(1);
        Self {
            known: Places::new(streams_max),
            public: Places::new(share),
            caller_max: share.min(CALLER_MAX),
            callers: Mutex::default(),
        }
    }

    /// A place for the stream of a call, if it is one and there is one.
    fn enter(self: &Arc<Self>, request: &Request) -> Result<Option<Seat>, TooManyStreams> {
        let Some((call, method)) = request.extensions().get::<Call>().and_then(|call| {
            let method = call.method.filter(|method| method.kind != Kind::Unary)?;
            Some((call, method))
        }) else {
            return Ok(None);
        };
        let is_public = method.rule.access == Access::Public;
        let room = if is_public { &self.public } else { &self.known };
        let place = room.clone().take().ok_or(TooManyStreams::OfAll)?;
        let share = Whose::of(call).map(|whose| self.share(whose)).transpose()?;
        Ok(Some(Seat { _place: place, _share: share }))
    }

    /// One stream of a caller's share.
    fn share(self: &Arc<Self>, whose: Whose) -> Result<Share, TooManyStreams> {
        let mut callers = self.callers();
        let count = callers.entry(whose.clone()).or_default();
        if *count >= self.caller_max {
            return Err(TooManyStreams::OfCaller);
        }
        *count += 1;
        drop(callers);
        Ok(Share { rooms: Arc::clone(self), whose })
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<Whose, usize>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Whose {
    /// Whoever calls, or the house they call from. Functions of ours call for many, and are trusted.
    fn of(call: &Call) -> Option<Self> {
        match &call.caller {
            Caller::Person(person) => Some(Self::Person(person.user_id.clone())),
            Caller::Service(_) => None,
            Caller::Nobody => call.address.map(house).map(Self::Address),
        }
    }
}

/// Of IPv6, what a provider gives to one customer at the least, who may have any address within.
fn house(address: IpAddr) -> IpAddr {
    const PREFIX: u128 = !0 << 64;
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & PREFIX).into(),
    }
}

/// Where one stream is.
#[derive(Debug)]
struct Seat {
    _place: Place,
    _share: Option<Share>,
}

#[derive(Debug)]
struct Share {
    rooms: Arc<Rooms>,
    whose: Whose,
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.rooms.callers().entry(self.whose.clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

// === impl Streams ===

impl<S> Service<Request> for Streams<S>
where
    S: Service<Request, Response = Response, Error = Raised>,
{
    type Response = Response;
    type Error = Raised;
    type Future = Either<StreamFuture<S::Future>, Ready<Result<Response, Raised>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Raised>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.rooms.enter(&request) {
            Ok(seat) => Either::Left(StreamFuture { inner: self.inner.call(request), seat }),
            Err(error) => Either::Right(settled(Err(error.into()))),
        }
    }
}

pin_project! {
    pub(crate) struct StreamFuture<F> {
        #[pin]
        inner: F,
        seat: Option<Seat>,
    }
}

impl<F> Future for StreamFuture<F>
where
    F: Future<Output = Result<Response, Raised>>,
{
    type Output = Result<Response, Raised>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        Poll::Ready(Ok(match this.seat.take() {
            Some(seat) if !response.body().is_end_stream() => {
                response.map(|inner| Body::new(Keeping::new(inner, seat)))
            }
            _ => response,
        }))
    }
}

#[cfg(test)]
mod tests {
    use call::RequestId;
    use http::HeaderMap;

    use super::*;

    const STREAMS_MAX: usize = 40;

    fn stream(path: &str, address: &str) -> Request {
        let mut request = Request::new(Body::empty());
        let mut call = Call::new(RequestId::of(&HeaderMap::new()), proto::method(path));
        call.address = Some(address.parse().unwrap());
        request.extensions_mut().insert(call);
        request
    }

    fn health(address: &str) -> Request {
        stream("/grpc.health.v1.Health/Watch", address)
    }

    #[test]
    fn strangers_leave_places_to_those_who_are_known() {
        let rooms = Arc::new(Rooms::new(STREAMS_MAX));
        let taken: Vec<_> = (1..=STREAMS_MAX)
            .filter_map(|host| rooms.enter(&health(&format!("192.0.2.{host}"))).ok())
            .collect();
        assert_eq!(taken.len(), STREAMS_MAX / SHARE);
        let watch = stream("/mayfly.user.v1.UserService/WatchProfiles", "192.0.2.99");
        assert!(rooms.enter(&watch).unwrap().is_some());
    }

    #[test]
    fn no_caller_has_more_than_a_share_and_it_comes_back() {
        let rooms = Arc::new(Rooms::new(STREAMS_MAX));
        let watch = |address: &str| stream("/mayfly.user.v1.UserService/WatchProfiles", address);
        let mut taken = Vec::new();
        for host in 0..STREAMS_MAX / SHARE {
            taken.push(rooms.enter(&watch(&format!("2001:db8::{host}"))).unwrap());
        }
        // Another address of the same house is no other caller.
        let refused = rooms.enter(&watch("2001:db8::ffff")).unwrap_err();
        assert_eq!(refused, TooManyStreams::OfCaller);
        assert!(rooms.enter(&watch("2001:db8:0:1::1")).is_ok());
        taken.pop();
        assert!(rooms.enter(&watch("2001:db8::ffff")).is_ok());
        taken.clear();
        assert!(rooms.callers().is_empty());
    }
}
