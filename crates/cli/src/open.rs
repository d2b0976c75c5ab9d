//! `carrick open`: stdin → stream → stdout. Both directions run until they end; the first error ends both.

use std::io::IsTerminal;

use carrick::{Multiaddr, ProtocolId, StreamError};
use tokio::io::{AsyncWriteExt, copy, split, stdin, stdout};

use crate::{address, failure::Failure, network, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo hello | carrick open /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… /echo/1.0.0
  carrick open /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… /my-app/log/1 < /dev/null > log

The end of stdin closes our side of the stream; the command ends when the peer has closed its side too.
A reset, or a lost connection, is a failure.")]
pub(crate) struct Args {
    /// The peer, a multiaddr ending in /p2p/<peer-id>.
    #[arg(value_name = "ADDR", value_parser = address::peer)]
    address: Multiaddr,
    /// The protocol to ask for.
    #[arg(value_name = "PROTOCOL", value_parser = address::protocol)]
    protocol: ProtocolId,
    #[command(flatten)]
    network: network::Network,
}

pub(crate) async fn run(args: &Args) -> Result<(), Failure> {
    let node = args.network.builder()?.spawn().await?;
    let stream = node.open_stream(&args.address, &args.protocol).await?;
    let (mut reader, mut writer) = split(stream);
    let up = async {
        copy(&mut stdin(), &mut writer).await?;
        writer.shutdown().await
    };
    let down = async {
        let mut out = stdout();
        copy(&mut reader, &mut out).await?;
        out.flush().await?;
        if std::io::stdin().is_terminal() {
            output::note("the peer has finished; Ctrl-D finishes our side");
        }
        Ok(())
    };
    let outcome = tokio::try_join!(up, down);
    outcome.map_err(|error: std::io::Error| {
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
    drop((reader, writer));
    node.close().await;
    Ok(())
}
