//! PEM files, and the settings that name them.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, RootCertStore};

/// The names of one side's settings, for errors.
#[derive(Debug, PartialEq, Eq)]
pub struct Names {
    /// The setting with the trusted authorities.
    pub ca: &'static str,
    /// The setting with our certificate.
    pub cert: &'static str,
    /// The setting with the key of our certificate.
    pub key: &'static str,
    /// The setting with the name that the other side's certificate must have.
    pub host: &'static str,
}

/// Why the files cannot be used. Never contains what is in a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{setting}: {} cannot be read: {source}", path.display())]
    Unreadable { setting: &'static str, path: PathBuf, source: io::Error },
    #[error("{setting}: {} contains no {expected} in PEM", path.display())]
    Malformed { setting: &'static str, path: PathBuf, expected: &'static str },
    /// A certificate without a key, or a key without a certificate.
    #[error("{} and {} must be set together", names.cert, names.key)]
    HalfIdentity { names: &'static Names },
    /// The key belongs to another certificate.
    #[error("the key of {} does not belong to the certificate of {}", names.key, names.cert)]
    KeyOfAnother { names: &'static Names },
    #[error("{} and {} cannot be used: {source}", names.cert, names.key)]
    Identity { names: &'static Names, source: rustls::Error },
    #[error("the system's trust store is empty: set {setting}")]
    NobodyTrusted { setting: &'static str },
    #[error("{setting} cannot be used: {source}")]
    Authorities { setting: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    /// The provider lacks the TLS versions: a bug in Florin.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[source] rustls::Error),
}

impl Error {
    fn of_pem(setting: &'static str, path: &Path, expected: &'static str, error: pem::Error) -> Self {
        let path = path.to_owned();
        match error {
            pem::Error::Io(source) => Self::Unreadable { setting, path, source },
            _ => Self::Malformed { setting, path, expected },
        }
    }

    pub(crate) fn of_identity(names: &'static Names, source: rustls::Error) -> Self {
        match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Self::KeyOfAnother { names },
            source => Self::Identity { names, source },
        }
    }
}

/// A certificate with its chain, and its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(crate) fn read(cert: &Path, key: &Path, names: &'static Names) -> Result<Self, Error> {
        let key = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| Error::of_pem(names.key, key, "private key", error))?;
        Ok(Self { chain: certificates(names.cert, cert)?, key })
    }
}

/// Trusted authorities: those of this file, or else of the system's trust store.
pub(crate) fn authorities(ca: Option<&Path>, setting: &'static str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        for certificate in certificates(setting, path)? {
            roots.add(certificate).map_err(|source| Error::Authorities { setting, source: source.into() })?;
        }
    } else {
        // Some systems keep a few unreadable certificates; the others are enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() { Err(Error::NobodyTrusted { setting }) } else { Ok(roots) }
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |error| Error::of_pem(setting, path, "certificate", error);
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if found.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(found) }
}
