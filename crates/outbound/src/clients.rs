//! The HTTP clients of this room: made here and nowhere else, so that what they may do is said in one place. They follow
//! no redirects, read no proxy settings, keep no cookies, unpack nothing, and repeat nothing.
//!
//! A client is a set of connections. Requests share one only if they have the same reach and the same credentials: a
//! server may bind an identity to a connection.

use crate::{
    error::OutboundError,
    limits::{IDLE, IDLE_CONNECTIONS, MAX_CLIENTS, MAX_HEADER_BYTES, MAX_HEADERS},
    resolver::{Checked, Resolver},
    target::Walls,
    trust::Trust,
};
use bailiwick_types::Millis;
use reqwest::{Client, redirect::Policy};
use rustls::client::Resumption;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    pub named: bool,
    pub https: bool,
    pub connect_ms: Millis,
    /// Of the credentials.
    pub fingerprint: [u8; 32],
}

pub(crate) struct Clients {
    resolver: Arc<dyn Resolver>,
    pub trust: Trust,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    clients: HashMap<Way, (Client, u64)>,
    /// Counts uses, to know the one that was not used for longest.
    uses: u64,
}

impl Clients {
    pub fn new(resolver: Arc<dyn Resolver>, trust: Trust) -> Self {
        Self { resolver, trust, made: Mutex::default() }
    }

    pub fn client(&self, way: Way, walls: Walls) -> Result<Client, OutboundError> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.uses += 1;
        let now = made.uses;
        if let Some((client, used)) = made.clients.get_mut(&way) {
            *used = now;
            return Ok(client.clone());
        }
        let client = self.make(way, walls).map_err(OutboundError::Refused)?;
        if made.clients.len() >= MAX_CLIENTS
            && let Some(oldest) = made.clients.iter().min_by_key(|(_, (_, used))| *used).map(|(way, _)| *way)
        {
            made.clients.remove(&oldest);
        }
        made.clients.insert(way, (client.clone(), now));
        Ok(client)
    }

    #[allow(clippy::disallowed_methods, reason = "the one place where clients of this room are made")]
    fn make(&self, way: Way, walls: Walls) -> Result<Client, String> {
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .https_only(way.https)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEADER_BYTES as u32)
            .connect_timeout(way.connect_ms.as_duration())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(Checked { inner: self.resolver.clone(), walls }));
        builder = if way.https {
            let mut tls = self.trust.roots().and_then(Trust::client)?.with_no_client_auth();
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            // Tickets of one set of credentials are of no use to another.
            tls.resumption = Resumption::in_memory_sessions(16);
            builder.tls_backend_preconfigured(tls)
        } else {
            // The system's certificates are not read for what needs none.
            builder.tls_certs_only([])
        };
        builder.build().map_err(|error| format!("no HTTP client can be made: {}", innermost(&error)))
    }
}

/// The innermost cause, which is the one that a person can act on.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
