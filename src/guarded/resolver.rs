//! From a host's name to addresses: the system's answer, and the same with everything taken out that is not public.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolving};

use super::address;

/// Whoever turns names into addresses.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of a host.
    ///
    /// # Errors
    /// The name has none, or nobody can be asked.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The system's own way: its hosts file and name servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// A name whose addresses are all closed to requests.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{host}` has the address {address}, which is {word}")]
pub(super) struct Closed {
    pub(super) host: String,
    pub(super) address: IpAddr,
    pub(super) word: &'static str,
}

/// Resolves for a connection. What it hands out is what is connected to: there is no second lookup to deceive.
pub(super) struct ConnectionResolver {
    pub(super) inner: Arc<dyn Resolve>,
    /// Whether only public addresses may be connected to.
    pub(super) public_only: bool,
}

impl reqwest::dns::Resolve for ConnectionResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (inner, public_only) = (Arc::clone(&self.inner), self.public_only);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let mut addresses = inner.resolve(&host).await?;
            if public_only {
                let closed = addresses.iter().find_map(|one| Some((*one, address::refusal(*one)?)));
                addresses.retain(|one| address::refusal(*one).is_none());
                if let (true, Some((address, word))) = (addresses.is_empty(), closed) {
                    return Err(Closed { host, address, word }.into());
                }
            }
            let addresses: Vec<SocketAddr> = addresses.into_iter().map(|one| SocketAddr::new(one, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
