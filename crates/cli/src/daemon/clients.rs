//! The clients of one door: so many at most. For one more, the one that has been idle longest gives way, of those who have
//! not shown that they may call as long as there are any; while all are busy, the newcomer does.

use std::sync::Arc;

use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use tracing::debug;

use super::talk::Client;

/// Clients, each with its task; they end with this.
#[derive(Debug)]
pub(crate) struct Clients {
    max: usize,
    next: usize,
    closing: watch::Receiver<()>,
    all: Vec<(Arc<Client>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Clients {
    /// `closing`: changes, or loses its sender, when all are to end.
    pub(crate) fn new(max: usize, closing: watch::Receiver<()>) -> Self {
        Self {
            max,
            next: 0,
            closing,
            all: Vec::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Serves one more, if there is room.
    pub(crate) fn admit<F>(&mut self, serve: impl FnOnce(Arc<Client>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        self.all.retain(|(_, task)| !task.is_finished());
        if self.all.len() >= self.max && !self.make_room() {
            debug!("a client was turned away: all others are busy");
            return;
        }
        let client = Arc::new(Client::new(self.next, self.closing.clone()));
        self.next = self.next.wrapping_add(1);
        let task = self.tasks.spawn(serve(client.clone()));
        self.all.push((client, task));
    }

    /// Ready when the last one has gone.
    pub(crate) async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    fn make_room(&mut self) -> bool {
        let idle = self.all.iter().enumerate();
        let idle = idle.filter_map(|(at, (client, _))| {
            let since = client.idle_since()?;
            Some((client.is_admitted(), since, at))
        });
        let Some((.., at)) = idle.min() else {
            return false;
        };
        let (client, task) = self.all.swap_remove(at);
        debug!(client = client.id, "an idle client gave way to another");
        task.abort();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn strangers_give_way_before_whoever_may_call_however_long_that_one_is_idle() {
        let (_open, closing) = watch::channel(());
        let mut clients = Clients::new(3, closing);
        let admit = |clients: &mut Clients| {
            let mut seen = None;
            clients.admit(|client| {
                seen = Some(client);
                std::future::pending()
            });
            seen.expect("one was admitted")
        };
        let first = admit(&mut clients);
        first.admit();
        for _ in 0..10 {
            admit(&mut clients);
        }
        assert_eq!(clients.all.len(), 3);
        assert!(clients.all.iter().any(|(client, _)| client.id == first.id));
        for (client, _) in &clients.all {
            client.admit();
        }
        admit(&mut clients);
        assert_eq!(clients.all.len(), 3);
        assert!(clients.all.iter().all(|(client, _)| client.id != first.id));
    }

    #[tokio::test]
    async fn the_one_idle_longest_gives_way_and_a_busy_one_does_not() {
        let (_open, closing) = watch::channel(());
        let mut clients = Clients::new(2, closing);
        let mut seen = Vec::new();
        let mut admit = |clients: &mut Clients| {
            clients.admit(|client| {
                seen.push(client);
                std::future::pending()
            });
            seen.last().cloned().expect("one was admitted")
        };
        let first = admit(&mut clients);
        let running = first.call();
        let second = admit(&mut clients);
        let third = admit(&mut clients);
        let left = |clients: &Clients| {
            clients
                .all
                .iter()
                .map(|(client, _)| client.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            left(&clients),
            [first.id, third.id],
            "{} has gone",
            second.id
        );
        let also_running = third.call();
        assert_eq!(
            admit(&mut clients).id,
            third.id,
            "nobody is idle, so nobody was admitted"
        );
        drop((running, also_running));
        let fourth = admit(&mut clients);
        assert_eq!(left(&clients).len(), 2);
        assert!(left(&clients).contains(&fourth.id));
    }
}
