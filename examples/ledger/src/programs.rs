//! The rpc actor: what programs ask, on a unix socket. It decodes and forwards; whoever knows the answer gives it.

use carrick::{
    RequestError,
    actors::{Connections, Inbound, Sender, Sent, Service, SoleSender},
};

use crate::words::{ToChain, ToNet, ToSocial, read, rpc};

/// Where it forwards to.
pub(crate) struct Rpc {
    pub(crate) net: SoleSender<ToNet>,
    pub(crate) chain: Sender<ToChain>,
    pub(crate) social: Sender<ToSocial>,
}

impl Service for Rpc {
    type Internal = ();

    async fn handle(&mut self, inbound: Inbound, _: &mut Connections) {
        let refused = match inbound.code() {
            rpc::SUBMIT => match read(&inbound) {
                // Waits if the network is behind; then programs are not read from.
                Ok(text) => match self.net.send(ToNet::Submit(text, inbound)).await.refused() {
                    Some(ToNet::Submit(_, inbound)) => Some((inbound, RequestError::Closed)),
                    _ => None,
                },
                Err(error) => Some((inbound, error)),
            },
            rpc::STATUS => give(&self.chain, ToChain::Status(inbound)).await,
            rpc::PAGE => match read(&inbound) {
                Ok(from) => give(&self.chain, ToChain::Page(from, inbound)).await,
                Err(error) => Some((inbound, error)),
            },
            rpc::SAY => match read(&inbound) {
                Ok(line) => give(&self.social, ToSocial::Say(line)).await,
                Err(error) => Some((inbound, error)),
            },
            rpc::HEARD => give(&self.social, ToSocial::Last(inbound)).await,
            _ => Some((inbound, RequestError::NotSupported)),
        };
        if let Some((inbound, error)) = refused {
            inbound.reply(Err(error));
        }
    }

    async fn handle_internal(&mut self, (): (), _: &mut Connections) {}
}

/// An actor that is gone has dropped the message, which refuses it.
async fn give<T>(to: &Sender<T>, message: T) -> Option<(Inbound, RequestError)> {
    match to.send(message).await {
        Sent::Ok | Sent::Full(_) | Sent::Closed(_) => None,
    }
}
