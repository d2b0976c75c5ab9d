//! The system's resolver, by way of `hickory`: it reads the system's configuration and asks by itself.

use std::{fmt, io, net::IpAddr, sync::OnceLock, time::Duration};

use futures::future::BoxFuture;
use hickory_resolver::{
    ResolverBuilder, TokioResolver,
    config::ResolverConfig,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};

use super::{Family, Resolver};

/// Asks whom the system is configured to ask, after `/etc/hosts`. Its configuration is read at the first question; a
/// machine without one still knows `localhost` and its `/etc/hosts`.
#[derive(Default)]
pub struct SystemResolver(OnceLock<Result<TokioResolver, String>>);

impl SystemResolver {
    fn resolver(&self) -> io::Result<TokioResolver> {
        let resolver = self.0.get_or_init(|| {
            let builder = TokioResolver::builder_tokio().unwrap_or_else(|_| nobody());
            build(builder)
        });
        resolver.clone().map_err(io::Error::other)
    }
}

/// Asks nobody: a default server would learn names from users who never chose it.
fn nobody() -> ResolverBuilder<TokioRuntimeProvider> {
    let config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
}

fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, String> {
    let options = builder.options_mut();
    options.timeout = options.timeout.min(QUERY_TIMEOUT);
    builder.build().map_err(|error| error.to_string())
}

impl Resolver for SystemResolver {
    fn ip(&self, name: String, family: Family) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let resolver = self.resolver();
        Box::pin(async move {
            // As with the system's own functions, an IP address is its own name.
            if let Ok(ip) = name.parse() {
                return Ok(vec![ip]);
            }
            let resolver = resolver?;
            let found = match family {
                Family::Any => resolver.lookup_ip(name).await.map(Into::into),
                Family::V4 => resolver.ipv4_lookup(name).await,
                Family::V6 => resolver.ipv6_lookup(name).await,
            };
            let found = found.map_err(io_error)?;
            let ips = found.answers().iter();
            Ok(ips.filter_map(|record| record.data.ip_addr()).collect())
        })
    }

    fn txt(&self, name: String) -> BoxFuture<'static, io::Result<Vec<String>>> {
        let resolver = self.resolver();
        Box::pin(async move {
            let found = resolver?.txt_lookup(name).await.map_err(io_error)?;
            let texts = found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    // A record is cut into strings of 255 bytes, which belong together.
                    RData::TXT(txt) => String::from_utf8(txt.txt_data.concat()).ok(),
                    _ => None,
                });
            Ok(texts.collect())
        })
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemResolver")
    }
}

fn io_error(error: NetError) -> io::Error {
    if error.is_nx_domain() {
        return io::Error::new(io::ErrorKind::NotFound, "no such name");
    }
    if error.is_no_records_found() {
        return io::Error::new(io::ErrorKind::NotFound, "the name has no such record");
    }
    io::Error::other(error)
}

/// A lost packet is sent again while the dial still waits for the name.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
