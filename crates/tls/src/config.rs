//! Configurations of TLS clients and servers.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};

use crate::files::{Error, Identity, Names, authorities};
use crate::verify::WithoutName;

/// How a client checks the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Not at all: the connection is encrypted, but may lead to anybody.
    Nothing,
    /// Valid and signed by a trusted authority, for any name.
    Chain,
    /// Valid, signed by a trusted authority, and for the host that was dialled.
    Full,
}

/// The files of a TLS client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The names of the settings, for errors.
    pub names: &'static Names,
    /// Trusted authorities; none for the system's trust store.
    pub ca_file: Option<PathBuf>,
    /// The client certificate with its chain, for servers that ask for one.
    pub cert_file: Option<PathBuf>,
    /// The private key of the certificate, without a pass phrase.
    pub key_file: Option<PathBuf>,
}

/// The files of a TLS server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The names of the settings, for errors.
    pub names: &'static Names,
    /// The server certificate with its chain.
    pub cert_file: PathBuf,
    /// The private key of the certificate, without a pass phrase.
    pub key_file: PathBuf,
    /// Authorities for client certificates. If set, a client without one is refused.
    pub client_ca_file: Option<PathBuf>,
}

impl Client {
    /// Reads the files. The versions are TLS 1.2 and 1.3.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used, or there is a certificate without a key.
    pub fn config(&self, check: Check) -> Result<ClientConfig, Error> {
        let names = self.names;
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::Provider)?;
        let trusted = || authorities(self.ca_file.as_deref(), names.ca);
        let builder = match check {
            Check::Full => builder.with_root_certificates(trusted()?),
            Check::Chain | Check::Nothing => {
                let authorities = if check == Check::Chain { Some(trusted()?) } else { None };
                let verifier = Arc::new(WithoutName { authorities, algorithms });
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                let Identity { chain, key } = Identity::read(cert, key, names)?;
                builder.with_client_auth_cert(chain, key).map_err(|source| Error::of_identity(names, source))
            }
            (None, None) => Ok(builder.with_no_client_auth()),
            _ => Err(Error::HalfIdentity { names }),
        }
    }
}

impl Server {
    /// Reads the files. The versions are TLS 1.2 and 1.3.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used.
    pub fn config(&self) -> Result<ServerConfig, Error> {
        let names = self.names;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::Provider)?;
        let builder = match &self.client_ca_file {
            Some(ca) => {
                let trusted = Arc::new(authorities(Some(ca), names.ca)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(trusted, provider())
                    .build()
                    .map_err(|source| Error::Authorities { setting: names.ca, source: source.into() })?;
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let Identity { chain, key } = Identity::read(&self.cert_file, &self.key_file, names)?;
        builder.with_single_cert(chain, key).map_err(|source| Error::of_identity(names, source))
    }
}

/// Passed explicitly instead of installed for the process, so that no other crate can choose another.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
