//! The peer network: what other nodes say, and what is to be said to them.
//!
//! It never waits for the chain, which may wait for it; so the two cannot wait for each other. Whatever finds a full mailbox is
//! refused or left out, and made good for when the nodes next compare what they have.

use std::{collections::HashMap, time::Duration};

use carrick::{
    PeerId, RequestError,
    actors::{Connections, Inbound, Origin, Sender, Sent, Service},
};

use crate::{
    link::ToPeer,
    words::{Entry, ToChain, ToNet, ToSocial, peers, read},
};

/// Where it forwards to.
pub(crate) struct PeerNet {
    /// By identity, the place among the members.
    pub(crate) members: HashMap<PeerId, usize>,
    pub(crate) chain: Sender<ToChain>,
    pub(crate) social: Sender<ToSocial>,
    /// One to each other member.
    pub(crate) links: Vec<Sender<ToPeer>>,
}

impl Service for PeerNet {
    type Internal = ToNet;

    async fn handle(&mut self, inbound: Inbound, _: &mut Connections) {
        let Some(node) = self.member(inbound.origin()) else {
            return inbound.reply(Err(RequestError::Banned));
        };
        // The code switcher: which actor a message is for.
        match inbound.code() {
            peers::ENTRY => match read::<Entry>(&inbound) {
                Ok(entry) if entry.node == node => self.forward(ToChain::Push(entry, inbound)),
                Ok(_) => inbound.reply(Err(RequestError::Malformed(
                    "not the sender's entry".into(),
                ))),
                Err(error) => inbound.reply(Err(error)),
            },
            peers::SYNC => match read(&inbound) {
                Ok(has) => self.forward(ToChain::Sync(node, has, inbound)),
                Err(error) => inbound.reply(Err(error)),
            },
            peers::CHAT => {
                if let Ok(line) = read(&inbound) {
                    let _ = self.social.try_send(ToSocial::Heard(node, line));
                }
            }
            _ => inbound.reply(Err(RequestError::NotSupported)),
        }
    }

    async fn handle_internal(&mut self, message: ToNet, _: &mut Connections) {
        let for_all = match message {
            ToNet::Submit(text, inbound) => {
                return self.forward(ToChain::Submit(text, inbound));
            }
            ToNet::Spread(entry) => ToPeer::Entry(entry),
            ToNet::Chat(line) => ToPeer::Chat(line),
        };
        for link in &self.links {
            let _ = link.try_send_at(for_all.priority(), for_all.clone());
        }
    }

    fn allow_connection(&mut self, origin: &Origin) -> bool {
        self.member(origin).is_some()
    }
}

impl PeerNet {
    fn member(&self, origin: &Origin) -> Option<usize> {
        match origin {
            Origin::Peer(peer) => self.members.get(peer).copied(),
            Origin::Socket(_) => None,
        }
    }

    fn forward(&self, message: ToChain) {
        if let Sent::Full(
            ToChain::Submit(_, inbound) | ToChain::Push(_, inbound) | ToChain::Sync(_, _, inbound),
        ) = self.chain.try_send(message)
        {
            let retry_after = Some(Duration::from_millis(100));
            inbound.reply(Err(RequestError::Busy { retry_after }));
        }
    }
}
