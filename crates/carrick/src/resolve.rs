//! How names become addresses: the `Resolver` trait, which users and tests may implement, and the system's own.
//!
//! A resolver answers one question at a time. What the answers mean, how far they are followed and how long they may take
//! is the swarm's affair.

use std::{fmt, io, net::IpAddr};

pub use carrick_swarm::Family;
use carrick_swarm::{Answer, Query};
use futures::future::BoxFuture;

pub use self::system::SystemResolver;

#[cfg(feature = "dns")]
mod system;
#[cfg(not(feature = "dns"))]
#[path = "resolve/no_dns.rs"]
mod system;

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

/// Puts the swarm's question to a resolver.
pub(crate) async fn ask(resolver: &dyn Resolver, query: Query) -> Result<Answer, String> {
    let answer = match query {
        Query::Ip { name, family } => resolver.ip(name, family).await.map(Answer::Ip),
        Query::Txt { name } => resolver.txt(name).await.map(Answer::Txt),
    };
    answer.map_err(|error| error.to_string())
}
