//! The two stages of stopping: drain (finish what runs, begin nothing) and stop (abort what is left).

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::spans;

/// Shared by every long-lived task. Cloning is cheap; all clones see the same stages.
#[derive(Clone, Debug)]
pub struct Shutdown {
    drain: CancellationToken,
    stop: CancellationToken,
    work: TaskTracker,
    services: TaskTracker,
    failed: CancellationToken,
    runtime: Handle,
}

impl Shutdown {
    /// A process that runs on `runtime`, which is where [`Shutdown::spawn`] and [`Shutdown::spawn_service`] put tasks,
    /// whoever calls them.
    pub fn new(runtime: Handle) -> Self {
        Self {
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
            work: TaskTracker::new(),
            services: TaskTracker::new(),
            failed: CancellationToken::new(),
            runtime,
        }
    }

    /// The process's own runtime.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// First stage: no new sessions, idle sessions end, transfers go on.
    pub fn begin_drain(&self) {
        self.drain.cancel();
    }

    /// Second stage: running transfers are aborted cleanly.
    pub fn stop_now(&self) {
        self.drain.cancel();
        self.stop.cancel();
    }

    /// Whether the first stage has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether the second stage has begun.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when the first stage begins.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Resolves when the second stage begins.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Runs work that draining waits for, such as a clean-up, in the spans of the caller.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.work.spawn_on(spans::carried(future), &self.runtime)
    }

    /// Runs work that draining waits for, such as a session, on another runtime and in no span of the caller, whose command
    /// it may outlive.
    pub fn spawn_on<F>(&self, future: F, runtime: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.work.spawn_on(future, runtime)
    }

    /// Runs what serves the work and goes on until the second stage, such as a listener. If it ends before the first,
    /// by itself or in a panic, the process cannot do its work any more: [`Shutdown::failed`] tells.
    pub fn spawn_service<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_service_on(name, future, &self.runtime);
    }

    /// Like [`Shutdown::spawn_service`], on another runtime.
    pub fn spawn_service_on<F>(&self, name: &'static str, future: F, runtime: &Handle)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shutdown = self.clone();
        let service = async move {
            // The runtime has told of a panic on standard error.
            let panicked = AssertUnwindSafe(future).catch_unwind().await.is_err();
            if !shutdown.is_draining() {
                tracing::error!(service = name, panicked, "a service ended on its own");
                shutdown.failed.cancel();
            }
        };
        self.services.spawn_on(service, runtime);
    }

    /// Resolves when a service has ended on its own.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Whether a service has ended on its own.
    pub fn is_failed(&self) -> bool {
        self.failed.is_cancelled()
    }

    /// Waits until all work has ended, for `limit` at most; tells whether it has.
    pub async fn work_done(&self, limit: Duration) -> bool {
        self.work.close();
        tokio::time::timeout(limit, self.work.wait()).await.is_ok()
    }

    /// Waits until every task has ended, for `limit` at most; tells whether all have.
    pub async fn all_done(&self, limit: Duration) -> bool {
        self.services.close();
        let all = async { tokio::join!(self.work.wait(), self.services.wait()) };
        self.work.close();
        tokio::time::timeout(limit, all).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_that_ends_on_its_own_is_a_failure() {
        for panics in [false, true] {
            let shutdown = Shutdown::new(Handle::current());
            shutdown.spawn_service("test", async move { assert!(!panics, "expected by the test") });
            tokio::time::timeout(Duration::from_secs(5), shutdown.failed()).await.expect("told");
            assert!(shutdown.is_failed());
        }
    }

    #[tokio::test]
    async fn a_service_that_ends_while_stopping_is_none() {
        let shutdown = Shutdown::new(Handle::current());
        let stage = shutdown.clone();
        shutdown.spawn_service("test", async move { stage.draining().await });
        shutdown.stop_now();
        assert!(shutdown.all_done(Duration::from_secs(5)).await);
        assert!(!shutdown.is_failed());
    }
}
