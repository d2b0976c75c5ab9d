//! The system's resolver in a build without one of our own: the system's functions, which know no TXT records.

use std::{io, net::IpAddr};

use futures::future::BoxFuture;

use super::{Family, Resolver};

/// Asks the system's own functions, `getaddrinfo` and the like. They know no TXT records: `/dnsaddr` needs the feature
/// `dns`. A question that was abandoned holds a thread until they give it up.
#[derive(Debug, Default)]
pub struct SystemResolver(());

impl Resolver for SystemResolver {
    fn ip(&self, name: String, _: Family) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|socket| socket.ip()).collect())
        })
    }

    fn txt(&self, _: String) -> BoxFuture<'static, io::Result<Vec<String>>> {
        Box::pin(async {
            let why = "this build of carrick has no /dnsaddr: enable the feature `dns`";
            Err(io::Error::new(io::ErrorKind::Unsupported, why))
        })
    }
}
