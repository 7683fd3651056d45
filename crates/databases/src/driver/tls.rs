//! TLS to a database server: always verified, by the authorities that are trusted here or those of the configuration.

use super::{CONNECT, Login, Trouble, line};
use crate::config::Tls;
use bailiwick_outbound::Trust;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

/// Wraps `stream`. A login whose secret is a certificate shows it.
pub async fn wrap<S>(
    (tls, trust): (&Tls, &Trust),
    host: &str,
    login: &Login,
    stream: S,
) -> Result<TlsStream<S>, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let client = client(tls, trust, login).map_err(Trouble::Unreachable)?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Trouble::Unreachable(format!("`{host}` is no name that a certificate can be for")))?;
    let connected = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream);
    match line::within(CONNECT, connected).await {
        Some(Ok(stream)) => Ok(stream),
        Some(Err(error)) => Err(Trouble::Unreachable(format!("no TLS with {host}: {error}"))),
        None => Err(Trouble::Unreachable(format!("no TLS with {host} within {} s", CONNECT.as_secs()))),
    }
}

/// Whether the secret is a client certificate and not a password.
pub fn is_certificate(login: &Login) -> bool {
    login.secret.as_ref().is_some_and(|secret| secret.expose().trim_start().starts_with("-----BEGIN"))
}

fn client(tls: &Tls, trust: &Trust, login: &Login) -> Result<rustls::ClientConfig, String> {
    let roots = match tls {
        Tls::VerifyAgainst { certificates } => {
            Trust::only(certificates.as_bytes()).map_err(|error| format!("server.tls: {error}"))?
        }
        _ => trust.roots()?,
    };
    let builder = Trust::client(roots)?;
    let Some(secret) = login.secret.as_ref().filter(|_| is_certificate(login)) else {
        return Ok(builder.with_no_client_auth());
    };
    let unusable = || "the credential is no client certificate with its key, in PEM".to_owned();
    let pem = secret.expose().as_bytes();
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|_| unusable())?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| unusable())?;
    builder.with_client_auth_cert(chain, key).map_err(|_| unusable())
}
