//! Finds the service that a call is for: the first part of its path, by its full name.
//!
//! tonic has a router of its own, which costs each call several boxes and a map of what matched in
//! the path: more than all the layers together. The few names of one process are looked through.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use fault::Reason;
use futures_util::future::{BoxFuture, Either, Ready, ready};
use layers::{Request, Response};
use tonic::Status;
use tower::{Service, util::BoxCloneSyncService};

use crate::Served;

/// The services of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services(Vec<(&'static str, One)>);

type One = BoxCloneSyncService<Request, Response, Infallible>;

type Answer = Result<Response, Infallible>;

impl Services {
    /// Adds one.
    pub(crate) fn add<S: Served>(&mut self, service: S) {
        self.0.push((S::NAME, BoxCloneSyncService::new(service)));
    }

    fn find(&mut self, path: &str) -> Option<&mut One> {
        let (name, _method) = path.strip_prefix('/')?.split_once('/')?;
        self.0.iter_mut().find(|(known, _service)| *known == name).map(|(_name, service)| service)
    }
}

// === impl Services ===

impl Service<Request> for Services {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<BoxFuture<'static, Answer>, Ready<Answer>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match self.find(request.uri().path()) {
            Some(service) => Either::Left(service.call(request)),
            None => Either::Right(ready(Ok(Status::from(Reason::Unimplemented).into_http()))),
        }
    }
}
