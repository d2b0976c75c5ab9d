//! How names become addresses: the `Resolver` trait, which users and tests may implement, and the system's own.
//!
//! A resolver answers one question at a time. What the answers mean, how far they are followed and how long they may take
//! is the swarm's affair.

use std::{fmt, io, net::IpAddr, sync::OnceLock, time::Duration};

pub use carrick_swarm::Family;
use carrick_swarm::{Answer, Query};
use futures::future::BoxFuture;
use hickory_resolver::{
    ResolverBuilder, TokioResolver,
    config::ResolverConfig,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};

/// Asks the name system, for `/dns`, `/dns4`, `/dns6` and `/dnsaddr` addresses.
///
/// ```
/// use carrick::{Node, resolve::{Family, Resolver}, transport::BoxFuture};
/// use std::{io, net::{IpAddr, Ipv4Addr}};
///
/// /// Every name is this machine.
/// #[derive(Debug)]
/// struct Here;
///
/// impl Resolver for Here {
///     fn ip(&self, _: String, _: Family) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
///         Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into()]) })
///     }
///     fn txt(&self, _: String) -> BoxFuture<'static, io::Result<Vec<String>>> {
///         Box::pin(async { Ok(Vec::new()) })
///     }
/// }
///
/// let builder = Node::builder().resolver(Here);
/// ```
pub trait Resolver: fmt::Debug + Send + Sync + 'static {
    /// The IP addresses of a host. Addresses of another family than asked for are ignored. The node sets the deadline;
    /// dropping the future must abandon the question.
    fn ip(&self, name: String, family: Family) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;

    /// The TXT records of a name, each as one text. As with [`ip`](Self::ip), the node sets the deadline.
    fn txt(&self, name: String) -> BoxFuture<'static, io::Result<Vec<String>>>;
}

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

/// Puts the swarm's question to a resolver.
pub(crate) async fn ask(resolver: &dyn Resolver, query: Query) -> Result<Answer, String> {
    let answer = match query {
        Query::Ip { name, family } => resolver.ip(name, family).await.map(Answer::Ip),
        Query::Txt { name } => resolver.txt(name).await.map(Answer::Txt),
    };
    answer.map_err(|error| error.to_string())
}

/// A lost packet is sent again while the dial still waits for the name.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
