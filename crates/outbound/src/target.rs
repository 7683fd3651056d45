//! Where a URL leads, and whether a reach goes as far as that, before any name is resolved.

use crate::{
    address::{Network, is_forbidden, is_inside_name, is_public, is_this_machine},
    error::OutboundError,
    limits::MAX_URL_BYTES,
    request::Reach,
};
use std::{fmt, net::IpAddr, sync::Arc};
use url::{Host, Url};

/// A host and a port: what an administrator names in a connector.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    /// Canonical: lower case, ASCII, without the root's dot; an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl Authority {
    /// Of an `http` or `https` URL; its path does not matter.
    pub fn of(url: &str) -> Result<Self, OutboundError> {
        Self::of_parsed(&parse(url)?)
    }

    fn of_parsed(url: &Url) -> Result<Self, OutboundError> {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(OutboundError::Invalid("the URL must name a host".into()));
        };
        Ok(Self { host: host.strip_suffix('.').unwrap_or(host).to_owned(), port })
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What is sent as `Host` for this URL: its host in canonical form, and its port unless that is the scheme's own. For
/// whoever signs it.
pub fn host_sent(url: &str) -> Result<String, OutboundError> {
    let url = parse(url)?;
    let host = url.host_str().unwrap_or_default();
    Ok(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// Reads a URL as clients do (WHATWG), which leaves one spelling of each address.
pub(crate) fn parse(text: &str) -> Result<Url, OutboundError> {
    let invalid = |problem: &str| Err(OutboundError::Invalid(format!("the URL {problem}")));
    if text.len() > MAX_URL_BYTES {
        return invalid(&format!("must have at most {MAX_URL_BYTES} bytes"));
    }
    if text.chars().any(|char| char.is_control() || char.is_whitespace()) {
        return invalid("must not hold spaces or control characters");
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return invalid(&format!("cannot be read: {error}")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return invalid("must begin with https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return invalid("must not hold a user or a password; a credential of a vault is the place for them");
    }
    if url.host_str().is_none_or(|host| host.trim_end_matches('.').is_empty()) || url.port() == Some(0) {
        return invalid("must name a host");
    }
    Ok(url)
}

/// Which addresses a reach goes to.
#[derive(Debug, Clone)]
pub(crate) enum Walls {
    /// What belongs to everybody, and what an operator has opened beside it.
    Public { open: Arc<[Network]> },
    /// Wherever the server is that an administrator named.
    Named,
}

impl Walls {
    pub fn of(reach: &Reach, open: &Arc<[Network]>) -> Self {
        match reach {
            Reach::Public => Self::Public { open: open.clone() },
            Reach::Exact { .. } => Self::Named,
        }
    }

    /// Whether a connection to this address may be made.
    pub fn permits(&self, address: IpAddr) -> Result<(), OutboundError> {
        if is_forbidden(address) {
            return Err(OutboundError::Refused(format!(
                "{address} is an address that nobody may be sent to (link-local, metadata of a cloud, multicast or reserved)"
            )));
        }
        match self {
            Self::Named => Ok(()),
            Self::Public { open } if is_public(address) || open.iter().any(|network| network.contains(address)) => {
                Ok(())
            }
            Self::Public { .. } => Err(OutboundError::Refused(format!(
                "{address} is an address of the inside network, which cannot be reached from here: an administrator can \
                 make a connector to it"
            ))),
        }
    }

    /// Whether names may be looked up that only mean something inside.
    pub fn know_the_inside(&self) -> bool {
        match self {
            Self::Public { open } => !open.is_empty(),
            Self::Named => true,
        }
    }
}

/// Checks everything about a URL that can be known before its name is resolved.
pub(crate) fn check(url: &Url, reach: &Reach, walls: &Walls) -> Result<Authority, OutboundError> {
    let authority = Authority::of_parsed(url)?;
    let refused = |reason: String| Err(OutboundError::Refused(reason));
    match reach {
        Reach::Exact { authority: named, .. } => {
            if *named != authority {
                return refused(format!("`{authority}` is not the server that the connector names (`{named}`)"));
            }
        }
        Reach::Public => {
            check_port(url)?;
            if let Some(Host::Domain(name)) = url.host()
                && (is_this_machine(name) || (!walls.know_the_inside() && is_inside_name(name)))
            {
                return refused(format!(
                    "`{name}` is a name of the inside network, which cannot be reached from here: an administrator can make \
                     a connector to it"
                ));
            }
        }
    }
    // A name is checked when it is resolved; an address never is, so it is checked here.
    if let Some(address) = literal(url) {
        walls.permits(address)?;
    }
    if url.scheme() == "http" && !may_be_plain(url, reach) {
        return refused(format!("`{authority}` must be asked through https: what is sent could be read on the way"));
    }
    Ok(authority)
}

/// Ports below 1024 belong to other protocols, which could be spoken to through a request.
fn check_port(url: &Url) -> Result<(), OutboundError> {
    match url.port_or_known_default() {
        Some(443 | 80 | 1024..) => Ok(()),
        port => Err(OutboundError::Refused(format!(
            "port {} belongs to another protocol than HTTP; use 443, or one above 1023",
            port.unwrap_or_default()
        ))),
    }
}

/// Plain HTTP goes to this machine itself, and where an administrator has said so.
fn may_be_plain(url: &Url, reach: &Reach) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => is_this_machine(name),
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        None => false,
    };
    loopback || matches!(reach, Reach::Exact { plain_http: true, .. })
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(url: &str) -> Result<Authority, OutboundError> {
        check(&parse(url)?, &Reach::Public, &Walls::Public { open: Arc::new([]) })
    }

    #[test]
    fn no_spelling_of_an_inside_address_gets_out() {
        let inside = "https://127.0.0.1/ https://127.1/ https://2130706433/ https://0x7f000001/ https://0x7f.1/ \
            https://017700000001/ https://0177.0.0.1/ https://127.0.0.1./ https://127.0.0.1:8443/ https://0/ \
            https://①②⑦.⓪.⓪.①/ https://127。0。0。1/ https://%31%32%37.0.0.1/ https://[::1]/ https://[0:0:0:0:0:0:0:1]/ \
            https://[::ffff:127.0.0.1]/ https://[::ffff:7f00:1]/ https://[64:ff9b::7f00:1]/ https://[2002:7f00:1::]/ \
            https://169.254.169.254/latest/meta-data https://[::ffff:a9fe:a9fe]/ https://[fe80::1]/ https://[fd00:ec2::254]/ \
            https://10.0.0.1/ https://0xa.1/ https://192.168.1.1/ https://100.64.0.1/ https://224.0.0.1/ https://0.0.0.0/ \
            https://localhost/ https://LOCALHOST./ https://a.localhost/ https://printer.local/ https://intranet/ \
            https://metadata.google.internal/ https://ｌocalhost/";
        for url in inside.split_whitespace() {
            assert!(matches!(public(url), Err(OutboundError::Refused(_))), "{url}: {:?}", public(url));
        }
    }

    #[test]
    fn what_is_no_plain_url_of_a_server_is_invalid() {
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
        let wrong = [
            "",
            "example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://",
            "https://./",
            "https://:443/",
            "https://user:secret@example.com/",
            "https://example.com@10.0.0.1/",
            "https://example.com:0/",
            "https://example.com:65536/",
            "https://exa mple.com/",
            "https://example.com/\r\nHost: x",
            "https://[fe80::1%25eth0]/",
            "gopher://example.com/",
            "https://[::1",
            &long,
        ];
        for url in wrong {
            assert!(matches!(public(url), Err(OutboundError::Invalid(_))), "{url}: {:?}", public(url));
        }
    }

    #[test]
    fn the_public_reach_takes_https_on_ports_of_http() {
        for fine in
            ["https://example.com/", "https://example.com:8443/a?b", "https://9.9.9.9/", "https://example.com./"]
        {
            assert!(public(fine).is_ok(), "{fine}: {:?}", public(fine));
        }
        for refused in ["http://example.com/", "https://example.com:25/", "https://example.com:22/", "http://9.9.9.9/"]
        {
            assert!(matches!(public(refused), Err(OutboundError::Refused(_))), "{refused}");
        }
        assert_eq!(public("https://EXAMPLE.com.").unwrap().to_string(), "example.com:443");
    }

    #[test]
    fn an_opened_block_lets_inside_names_be_looked_up() {
        let walls = Walls::Public { open: Arc::new(["10.2.0.0/16".parse().unwrap()]) };
        let with = |url: &str| check(&parse(url).unwrap(), &Reach::Public, &walls);
        assert!(with("https://10.2.3.4/").is_ok() && with("https://wiki.corp/").is_ok());
        assert!(
            with("https://10.3.3.4/").is_err()
                && with("https://localhost/").is_err()
                && with("http://10.2.3.4/").is_err()
        );
    }

    #[test]
    fn an_exact_reach_goes_to_its_authority_and_nowhere_else() {
        let reach = Reach::exact("https://crm.corp:8443/api").unwrap();
        let to = |url: &str| check(&parse(url).unwrap(), &reach, &Walls::Named);
        assert!(to("https://crm.corp:8443/other").is_ok() && to("https://CRM.corp.:8443/").is_ok());
        for other in
            ["https://crm.corp/", "https://crm.corp:8444/", "https://a.crm.corp:8443/", "http://crm.corp:8443/"]
        {
            assert!(matches!(to(other), Err(OutboundError::Refused(_))), "{other}");
        }
        for url in ["http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/"] {
            assert!(check(&parse(url).unwrap(), &Reach::exact(url).unwrap(), &Walls::Named).is_ok(), "{url}");
        }
        let plain = Reach::Exact { authority: Authority::of("http://crm.corp").unwrap(), plain_http: true };
        assert!(check(&parse("http://crm.corp/").unwrap(), &plain, &Walls::Named).is_ok());
        let metadata = "http://169.254.169.254/latest";
        assert!(check(&parse(metadata).unwrap(), &Reach::exact(metadata).unwrap(), &Walls::Named).is_err());
    }
}
