//! Threads of a node's own, for who keeps the network apart from other work.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Where a node's tasks run: on threads of its own, or with whoever made the node.
#[derive(Debug)]
pub(crate) struct Workers(Option<Runtime>);

impl Workers {
    /// So many threads; `None`: those of the current runtime.
    ///
    /// # Errors
    /// The threads cannot be made.
    pub(crate) fn new(count: Option<usize>) -> io::Result<Self> {
        let Some(count) = count else {
            return Ok(Self(None));
        };
        let mut own = Builder::new_multi_thread();
        own.worker_threads(count.clamp(1, COUNT_MAX));
        let own = own.thread_name("carrick").enable_all().build()?;
        Ok(Self(Some(own)))
    }

    /// What to spawn on. All that a task spawns stays where the task is.
    pub(crate) fn handle(&self) -> Handle {
        match &self.0 {
            Some(own) => own.handle().clone(),
            None => Handle::current(),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // The last handle on a node may be dropped where nobody may wait, even on one of these threads.
        if let Some(own) = self.0.take() {
            own.shutdown_background();
        }
    }
}

/// More would help nobody.
const COUNT_MAX: usize = 1024;
