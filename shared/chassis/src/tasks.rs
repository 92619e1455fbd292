//! Work that comes to its end though whoever asked for it is gone.

use std::{panic::resume_unwind, sync::Arc, time::Duration};

use call::Call;
use fault::{Fault, Reason};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;

/// How long work may go on after its deadline, by which nobody else is asked any more: enough to write
/// down how it has ended.
const LAST_WORD_MAX: Duration = Duration::from_secs(5);

/// Does work in tasks of its own. Clones share the places.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    places: Arc<Semaphore>,
}

impl Tasks {
    /// Of so many at a time: whoever leaves frees a place among the calls, and none here.
    pub(crate) fn new(max: usize) -> Self {
        Self { tracker: TaskTracker::new(), places: Arc::new(Semaphore::new(max)) }
    }

    /// Does `work` and waits for it. A caller who leaves, or whose time is over, does not end it, and a
    /// drain waits for it. Its deadline is that of `call`, which is another than the caller's.
    pub async fn finish<T: Send + 'static>(
        &self,
        call: &Call,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|full| Fault::new(Reason::Shed).because(full))?;
        let end = call.deadline.unwrap_or_else(Instant::now) + LAST_WORD_MAX;
        let (id, method, outcome) = (call.id, call.method, call.outcome.clone());
        let task = self.tracker.spawn(async move {
            let done = timeout_at(end, work).await;
            outcome.log_events(id, method);
            drop(place);
            done.unwrap_or_else(|_elapsed| Err(Reason::DeadlineExceeded.into()))
        });
        match task.await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(done) => done,
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_ended)) => Err(Reason::Draining.into()),
        }
    }

    /// Waits for all of it, once no call begins any more.
    pub(crate) async fn finished(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use call::RequestId;
    use http::HeaderMap;
    use tokio::{
        sync::oneshot,
        time::{sleep, timeout},
    };

    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    fn call() -> Call {
        Call::new(RequestId::of(&HeaderMap::new()), None).until(Instant::now() + TIME)
    }

    fn reason<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> Reason {
        outcome.unwrap_err().reason()
    }

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_without_its_caller_and_is_waited_for() {
        let tasks = Tasks::new(1);
        let (done, mut is_done) = oneshot::channel();
        let work = async {
            sleep(TIME).await;
            done.send(()).unwrap();
            Ok(())
        };
        let caller = timeout(Duration::from_secs(1), tasks.finish(&call(), work)).await;
        assert!(caller.is_err(), "the caller has left");
        assert!(is_done.try_recv().is_err());
        assert_eq!(reason(tasks.finish(&call(), async { Ok(()) }).await), Reason::Shed);
        tasks.finished().await;
        is_done.try_recv().unwrap();
        assert_eq!(tasks.finish(&call(), async { Ok(7) }).await.unwrap(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_end_is_ended() {
        let (tasks, began) = (Tasks::new(1), Instant::now());
        let never = std::future::pending::<Result<(), Fault>>();
        assert_eq!(reason(tasks.finish(&call(), never).await), Reason::DeadlineExceeded);
        assert_eq!(began.elapsed().as_secs(), (TIME + LAST_WORD_MAX).as_secs());
        tasks.finish(&call(), async { Ok(()) }).await.unwrap();
    }
}
