//! Resolves names, and gives only addresses that the reach goes to: at the moment of connecting, so that the connection
//! is made to exactly what was checked.

use crate::{address::is_this_machine, error::OutboundError, target::Walls};
use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 64;

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Every address of `name`, which is in ASCII. The error is why there is none.
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String>;
}

/// Asks the name servers of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        #[allow(clippy::disallowed_methods, reason = "the one place of this room that resolves names")]
        let found = tokio::net::lookup_host((name, 0)).await.map_err(|error| error.to_string())?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// The resolver of one set of connections. Its errors are [`OutboundError`]s, which are found again in the client's.
pub(crate) struct Checked {
    pub inner: Arc<dyn Resolver>,
    pub walls: Walls,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (inner, walls) = (self.inner.clone(), self.walls.clone());
        Box::pin(async move { Ok(addresses(inner.as_ref(), &walls, name.as_str()).await?) })
    }
}

async fn addresses(inner: &dyn Resolver, walls: &Walls, name: &str) -> Result<Addrs, OutboundError> {
    // With the root's dot no search list is asked, which would lead a public name inside.
    let asked = if walls.know_the_inside() || name.ends_with('.') { name.to_owned() } else { format!("{name}.") };
    let unreachable =
        |reason: String| OutboundError::Unreachable { host: name.trim_end_matches('.').to_owned(), reason };
    let found = inner.resolve(&asked).await.map_err(unreachable)?;
    if found.is_empty() {
        return Err(unreachable("this name has no address".into()));
    }
    if found.len() > MAX_ADDRESSES {
        return Err(unreachable(format!("this name has more than {MAX_ADDRESSES} addresses")));
    }
    for address in &found {
        if is_this_machine(name) && !address.is_loopback() {
            return Err(OutboundError::Refused(format!("`{name}` must be this machine itself, and is {address}")));
        }
        walls.permits(*address).map_err(|error| match error {
            OutboundError::Refused(reason) => OutboundError::Refused(format!("`{name}` leads to {reason}")),
            other => other,
        })?;
    }
    Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))))
}
