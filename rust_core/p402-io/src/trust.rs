//! Reads by which certificates servers are believed, and with which one this node shows itself.
//! Does not connect, and decides for no server whether it has to speak TLS.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// No file of certificates is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Certificates as they stand in their files: PEM.
#[derive(Clone, Default)]
pub struct Trust {
    /// They alone are believed; `None`: the public authorities.
    pub roots: Option<Vec<u8>>,
    /// A certificate of this node's own, and its key.
    pub own: Option<(Vec<u8>, Vec<u8>)>,
}

impl Trust {
    /// # Errors
    /// A sentence: a file cannot be read, holds nothing that is wanted, or stands alone.
    pub fn read(
        ca: Option<&Path>,
        (cert, key): (Option<&Path>, Option<&Path>),
    ) -> Result<Self, String> {
        let roots = ca.map(bytes_of).transpose()?;
        let own = match (cert, key) {
            (Some(cert), Some(key)) => Some((bytes_of(cert)?, bytes_of(key)?)),
            (None, None) => None,
            _ => return Err("a certificate needs its key, and a key its certificate".to_owned()),
        };
        let trust = Self { roots, own };
        trust.client().map(|_| trust)
    }

    /// How a client behaves that trusts so.
    ///
    /// # Errors
    /// A sentence that names what cannot be read.
    pub fn client(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.authorities()?);
        let Some((cert, key)) = &self.own else { return Ok(client.with_no_client_auth()) };
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| "the key's file holds no private key in PEM".to_owned())?;
        client
            .with_client_auth_cert(certificates(cert)?, key)
            .map_err(|_| "the certificate and the key do not belong together".to_owned())
    }

    fn authorities(&self) -> Result<RootCertStore, String> {
        let Some(pem) = &self.roots else {
            return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(|_| "a certificate is no authority's".to_owned())?;
        }
        Ok(roots)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err("the file holds no certificate in PEM".to_owned()),
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Nothing of a key.
impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("own", &self.own.is_some()).finish_non_exhaustive()
    }
}
