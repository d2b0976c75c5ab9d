//! Places for those who have come in and have said and proven nothing yet: so many at most, and none for long while others
//! wait. Else a few who say nothing would keep everybody out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tokio::task::{AbortHandle, JoinError, JoinSet};

/// Tasks, each of which has a place.
#[derive(Debug)]
pub(super) struct Places<T> {
    max: usize,
    tasks: JoinSet<T>,
    /// Since when they have it; the oldest first, also some that are over.
    since: VecDeque<(Instant, AbortHandle)>,
}

impl<T: Send + 'static> Places<T> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            tasks: JoinSet::new(),
            since: VecDeque::new(),
        }
    }

    /// Gives the task a place, if need be that of the oldest one that has had a fair time; `false`: there is none.
    pub(super) fn spawn(
        &mut self,
        now: Instant,
        task: impl Future<Output = T> + Send + 'static,
    ) -> bool {
        if self.since.len() >= self.max {
            self.since.retain(|(_, task)| !task.is_finished());
        }
        if self.since.len() >= self.max {
            match self.since.front() {
                Some((since, oldest)) if now.saturating_duration_since(*since) >= FAIR_TIME => {
                    oldest.abort();
                }
                _ => return false,
            }
            self.since.pop_front();
        }
        let task = self.tasks.spawn(task);
        self.since.push_back((now, task));
        true
    }

    /// What has come of one; of one that had to make room, an error. `None`: there is none. Cancel-safe.
    #[cfg(any(test, feature = "websocket"))]
    pub(super) async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.tasks.join_next().await
    }

    /// What has come of one, if one is over.
    pub(super) fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.tasks.try_join_next()
    }
}

/// What a handshake takes on a long way: some round trips.
pub(crate) const FAIR_TIME: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn one_too_many_has_the_place_of_the_oldest_but_only_after_a_fair_time() {
        let mut places = Places::new(2);
        let begun = Instant::now();
        let later = begun + Duration::from_millis(10);
        assert!(places.spawn(begun, pending()) && places.spawn(later, pending()));
        assert!(!places.spawn(begun + FAIR_TIME - Duration::from_nanos(1), pending::<()>()));
        assert_eq!(places.tasks.len(), 2);
        assert!(places.spawn(begun + FAIR_TIME, pending()));
        let gone = places.join_next().await.expect("one had to go");
        assert!(gone.expect_err("it did not end").is_cancelled());
        // The next oldest is younger.
        assert!(!places.spawn(begun + FAIR_TIME, pending()));
        assert!(places.spawn(later + FAIR_TIME, pending()));
        assert_eq!(places.since.len(), 2);
    }

    #[tokio::test]
    async fn whoever_is_done_has_left_his_place() {
        let mut places = Places::new(2);
        let now = Instant::now();
        for _ in 0..10 {
            assert!(places.spawn(now, ready(1)) && places.spawn(now, ready(2)));
            for _ in 0..2 {
                assert!(places.join_next().await.expect("they run").is_ok());
            }
            assert!(places.since.len() <= 2 && places.try_join_next().is_none());
        }
    }
}
