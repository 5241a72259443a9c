//! PEM files, and what the user calls them.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, RootCertStore};

/// What the user calls the settings of one side, for errors.
#[derive(Debug, PartialEq, Eq)]
pub struct Names {
    /// The certificates of those who are trusted.
    pub ca: &'static str,
    /// Our certificate.
    pub cert: &'static str,
    /// The key of our certificate.
    pub key: &'static str,
    /// The name that the other side's certificate has to be for.
    pub host: &'static str,
}

/// Why the files make no TLS. Never holds what is in a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{setting}: {} cannot be read: {source}", path.display())]
    Unreadable {
        /// What the user calls it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{setting}: {} holds no {expected} in PEM", path.display())]
    Malformed {
        /// What the user calls it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// A certificate without a key, or a key without a certificate.
    #[error("{} and {} belong together: one of them is missing", names.cert, names.key)]
    HalfIdentity {
        /// What the user calls them.
        names: &'static Names,
    },
    /// The key belongs to another certificate.
    #[error("the key of {} does not belong to the certificate of {}", names.key, names.cert)]
    KeyOfAnother {
        /// What the user calls them.
        names: &'static Names,
    },
    /// The certificate or its key cannot be used.
    #[error("{} and {} cannot be used: {source}", names.cert, names.key)]
    Identity {
        /// What the user calls them.
        names: &'static Names,
        /// Why.
        source: rustls::Error,
    },
    /// Nobody would be trusted.
    #[error("the system has no certificates of authorities: set {setting}")]
    NobodyTrusted {
        /// What the user calls the file that is missing.
        setting: &'static str,
    },
    /// The certificates of authorities cannot be used.
    #[error("{setting} cannot be used: {source}")]
    Authorities {
        /// What the user calls the file.
        setting: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The provider lacks the versions of TLS: a mistake in Florin.
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

/// A certificate with those that vouch for it, and its key.
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

/// Those who are trusted: the certificates of this file, or else those that the system trusts.
pub(crate) fn authorities(ca: Option<&Path>, setting: &'static str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        for certificate in certificates(setting, path)? {
            roots.add(certificate).map_err(|source| Error::Authorities { setting, source: source.into() })?;
        }
    } else {
        // Some systems keep a few that nobody can read any more; the others are enough.
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
