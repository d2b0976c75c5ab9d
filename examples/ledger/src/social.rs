//! The social actor: lines of chat, which share the network with the chain under a code of their own. Only the last few are
//! kept, and whatever a crowded mailbox drops is missed by nobody.

use std::collections::VecDeque;

use carrick::actors::{Mailbox, SoleSender};

use crate::words::{TEXT_MAX, ToNet, ToSocial, reply};

/// Runs until nobody can send to it any more.
pub(crate) async fn run(me: usize, mut inbox: Mailbox<ToSocial>, mut net: SoleSender<ToNet>) {
    let mut lines = VecDeque::new();
    while let Some(message) = inbox.recv().await {
        let line = match message {
            ToSocial::Say(line) if line.len() > TEXT_MAX => continue,
            ToSocial::Say(line) => {
                let _ = net.send(ToNet::Chat(line.clone())).await;
                format!("node {me}: {line}")
            }
            ToSocial::Heard(node, line) => format!("node {node}: {line}"),
            ToSocial::Last(inbound) => {
                reply(inbound, &Vec::from(lines.clone()));
                continue;
            }
        };
        lines.push_back(line);
        if lines.len() > LINES_MAX {
            lines.pop_front();
        }
    }
}

const LINES_MAX: usize = 100;
