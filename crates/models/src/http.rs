//! The HTTP clients of this room: made here and nowhere else, so that what they may do is said in one place. They
//! follow no redirects, read no system proxy settings, and repeat nothing by themselves.

use crate::options::{ModelOptions, OptionsError};
use bailiwick_types::Millis;
use reqwest::{Client, redirect::Policy};
use std::error::Error;

/// How long an unused connection is kept.
const IDLE: Millis = Millis::from_secs(90);

/// One client for each way to connect, shared by the models that connect that way.
#[derive(Default)]
pub(crate) struct Clients {
    made: Vec<(Way, Client)>,
}

#[derive(PartialEq, Eq)]
struct Way {
    connect: Millis,
    proxy: Option<String>,
    /// Whether the system's CA certificates are needed. They are not read for plain HTTP, which saves start-up time and
    /// works on machines that have none.
    trusts: bool,
}

impl Clients {
    pub(crate) fn client(&mut self, name: &str, options: &ModelOptions) -> Result<Client, OptionsError> {
        let is_https = |url: &Option<String>| url.as_deref().is_some_and(|url| url.starts_with("https:"));
        let way = Way {
            connect: options.timeouts.connect_ms,
            proxy: options.proxy.clone(),
            trusts: is_https(&options.base_url) || is_https(&options.proxy),
        };
        if let Some((_, client)) = self.made.iter().find(|(made, _)| *made == way) {
            return Ok(client.clone());
        }
        let client = way.connect().map_err(|error| {
            let problem = if way.trusts {
                format!("https cannot be used: {}; install the system's CA certificates", explain(&error))
            } else {
                format!("no HTTP client can be made: {}", explain(&error))
            };
            OptionsError { model: name.to_owned(), field: "base_url", problem }
        })?;
        self.made.push((way, client.clone()));
        Ok(client)
    }
}

impl Way {
    #[allow(clippy::disallowed_methods, reason = "the one place where clients of this room are made")]
    fn connect(&self) -> Result<Client, reqwest::Error> {
        let mut builder = Client::builder()
            .user_agent(concat!("bailiwick/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(self.connect.as_duration())
            .pool_idle_timeout(IDLE.as_duration())
            .tcp_nodelay(true);
        if !self.trusts {
            builder = builder.tls_certs_only([]);
        }
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy)?);
        }
        builder.build()
    }
}

/// The innermost cause, which is the one that a person can act on. Never the URL.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
