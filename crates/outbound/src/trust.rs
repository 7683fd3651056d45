//! Whose word is taken for who a server is: the authorities that this machine knows, and those that the operator named
//! beside them (`[outbound] extra_roots`). For every room that speaks TLS, whatever it speaks over it.

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::sync::{Arc, OnceLock};

/// The authorities that are trusted. Cheap to clone; all clones share what was read.
#[derive(Clone, Default)]
pub struct Trust {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    extra_pem: Option<Vec<u8>>,
    /// Read once: there are hundreds, in files.
    known: OnceLock<Result<Known, String>>,
}

struct Known {
    certificates: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

impl Trust {
    /// With these certificates, in PEM, beside the machine's.
    pub fn new(extra_pem: Option<Vec<u8>>) -> Self {
        Self { inner: Arc::new(Inner { extra_pem, known: OnceLock::new() }) }
    }

    /// What certificates of servers are checked against. The error says what the operator has to change.
    pub fn roots(&self) -> Result<Arc<RootCertStore>, String> {
        self.known().map(|known| Arc::clone(&known.roots))
    }

    /// The same, one by one, for whoever cannot take a store of them.
    pub fn certificates(&self) -> Result<&[CertificateDer<'static>], String> {
        self.known().map(|known| known.certificates.as_slice())
    }

    /// These authorities, in PEM, and no others.
    pub fn only(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
        let mut roots = RootCertStore::empty();
        for certificate in parsed(pem)? {
            roots.add(certificate).map_err(|error| format!("a certificate cannot be used: {error}"))?;
        }
        if roots.is_empty() {
            return Err("there is no certificate in it".into());
        }
        Ok(Arc::new(roots))
    }

    /// TLS that checks servers against `roots`. Whoever connects says whether it shows a certificate of its own.
    pub fn client(roots: Arc<RootCertStore>) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Ok(config.map_err(|error| format!("TLS cannot be used: {error}"))?.with_root_certificates(roots))
    }

    fn known(&self) -> Result<&Known, String> {
        self.inner.known.get_or_init(|| self.inner.read()).as_ref().map_err(Clone::clone)
    }
}

impl Inner {
    fn read(&self) -> Result<Known, String> {
        let mut roots = RootCertStore::empty();
        let mut certificates = rustls_native_certs::load_native_certs().certs;
        // What a machine keeps and nobody can read is left out; what the operator named is not.
        roots.add_parsable_certificates(certificates.iter().cloned());
        for certificate in parsed(self.extra_pem.as_deref().unwrap_or_default())
            .map_err(|error| format!("the extra root certificates: {error}"))?
        {
            roots
                .add(certificate.clone())
                .map_err(|error| format!("the extra root certificates: one cannot be used: {error}"))?;
            certificates.push(certificate);
        }
        if roots.is_empty() {
            return Err(
                "no server's certificate can be checked: this machine has no CA certificates; install them".into()
            );
        }
        Ok(Known { certificates, roots: Arc::new(roots) })
    }
}

fn parsed(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    all.map_err(|error| format!("they are not PEM: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        assert!(Trust::only(b"").unwrap_err().contains("no certificate"));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Trust::only(broken).unwrap_err().contains("cannot be used"));
        assert!(Trust::new(Some(broken.to_vec())).roots().unwrap_err().contains("extra root certificates"));
        let cut = b"-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(Trust::only(cut).unwrap_err().contains("PEM"));
    }
}
