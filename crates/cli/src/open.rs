//! `carrick open`: stdin → stream → stdout, on the side that opens the stream or on the one that accepts it. Both directions
//! run until they end; the first error ends both.

use std::{
    io::{self, IsTerminal},
    pin::pin,
};

use carrick::{Multiaddr, Node, PeerId, ProtocolId, Stream, StreamError};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, copy, empty, split, stdin, stdout},
    time::Instant,
};

use crate::{address, failure::Failure, forward, host::Host, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo hello | carrick open /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… /echo/1.0.0
  carrick open /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… /my-app/log/1 < /dev/null > log
  carrick open --accept /my-app/log/1 < answer > request       wait for a peer's stream, then end
  carrick open --accept /my-app/log/1 --keep >> log            and for the next one, until Ctrl-C

The end of stdin closes our side of the stream; the command ends when the peer has closed its side too.
A reset, or a lost connection, is a failure. Whoever accepts prints its addresses on stderr.")]
pub(crate) struct Args {
    /// The peer, a multiaddr ending in /p2p/<peer-id>.
    #[arg(value_name = "ADDR", value_parser = address::peer, required_unless_present = "accept", requires = "protocol")]
    address: Option<Multiaddr>,
    /// The protocol to ask for.
    #[arg(value_name = "PROTOCOL", value_parser = address::protocol)]
    protocol: Option<ProtocolId>,
    /// Wait for a stream of this protocol instead; anybody may open it who knows the address.
    #[arg(long, value_name = "PROTOCOL", value_parser = address::protocol, conflicts_with = "address")]
    accept: Option<ProtocolId>,
    /// With --accept: take one stream after the other until Ctrl-C. The first one gets stdin, the others nothing.
    #[arg(long, requires = "accept")]
    keep: bool,
    /// Figures of each stream on stderr when it is over, one JSON object a line; with --accept also the addresses.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: Host,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    if args.accept.is_none() && args.host.is_somewhere() {
        return Err(Failure::new(
            "--listen is for those who accept",
            "add --accept PROTOCOL",
        ));
    }
    let node = args.host.builder()?.spawn().await?;
    match (&args.accept, &args.address, &args.protocol) {
        (Some(protocol), _, _) => accept(&node, args, protocol).await?,
        (None, Some(address), Some(protocol)) => {
            let stream = node.open_stream(address, protocol).await?;
            converse(stream, stdin(), args.json).await?;
        }
        (None, _, _) => {
            return Err(Failure::new(
                "no peer is named",
                "see `carrick open --help`",
            ));
        }
    }
    node.close().await;
    Ok(())
}

async fn accept(node: &Node, args: &Args, protocol: &ProtocolId) -> Result<(), Failure> {
    let mut stop = pin!(forward::stop()?);
    let mut incoming = node
        .accept(protocol)
        .map_err(|error| Failure::new(error, "choose another protocol"))?;
    args.host.listen(node).await?;
    for address in node.addresses() {
        output::note(&if args.json {
            json!({"listening": address.to_string()}).to_string()
        } else {
            format!("listening {address}")
        });
    }
    let mut is_first = true;
    loop {
        let stream = tokio::select! {
            () = &mut stop => return Ok(()),
            stream = incoming.next() => stream,
        };
        let Some(stream) = stream else { return Ok(()) };
        if !args.keep {
            // The next one is to hear that nobody takes it.
            drop(incoming);
            return converse(stream, stdin(), args.json).await;
        }
        let outcome = if std::mem::take(&mut is_first) {
            tokio::select! {
                () = &mut stop => return Ok(()),
                outcome = converse(stream, stdin(), args.json) => outcome,
            }
        } else {
            tokio::select! {
                () = &mut stop => return Ok(()),
                outcome = converse(stream, empty(), args.json) => outcome,
            }
        };
        // The next peer may fare better.
        if let Err(failure) = outcome
            && output::may_note()
        {
            output::note(&failure.to_string());
        }
    }
}

/// Carries one stream to its end.
async fn converse(
    stream: Stream,
    mut input: impl AsyncRead + Unpin,
    json: bool,
) -> Result<(), Failure> {
    let (peer, begun) = (stream.peer(), Instant::now());
    let (mut reader, mut writer) = split(stream);
    let up = async {
        let sent = copy(&mut input, &mut writer).await?;
        writer.shutdown().await?;
        Ok(sent)
    };
    let down = async {
        let mut out = stdout();
        let received = copy(&mut reader, &mut out).await?;
        out.flush().await?;
        if io::stdin().is_terminal() {
            output::note("the peer has finished; Ctrl-D finishes our side");
        }
        Ok(received)
    };
    let outcome = tokio::try_join!(up, down);
    let (sent, received) = outcome.map_err(|error: io::Error| {
        let ours = error
            .get_ref()
            .and_then(|e| e.downcast_ref::<StreamError>());
        match ours {
            Some(error) => error.clone().into(),
            None => Failure::new(
                format!("cannot copy: {error}"),
                "check what stdin and stdout are connected to",
            ),
        }
    })?;
    if json {
        tell(&peer, sent, received, begun);
    }
    Ok(())
}

fn tell(peer: &PeerId, sent: u64, received: u64, begun: Instant) {
    let figures = json!({
        "peer": peer.to_string(),
        "sent": sent,
        "received": received,
        "seconds": begun.elapsed().as_secs_f64(),
    });
    output::note(&figures.to_string());
}
