//! The addresses that follow from the settings: URLs, with all that TLS needs in them.
//!
//! Certificates travel in the URLs, under the names that RabbitMQ and libpq have for them, so that whoever
//! connects needs nothing but the URL, and a URL from elsewhere means the same here.

use std::path::PathBuf;

use florin_amqp::{TLS_PARAMETERS, split_urls};
use florin_tls::{take_parameters, with_parameters};
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Broker, Config, Database, DatabaseUrl, SslMode};
use florin_store::POSTGRES_PARAMETERS;

impl Broker {
    /// The address of the broker, with its password and its certificates: one URL, or several with commas between
    /// them.
    #[must_use]
    pub fn url(&self) -> String {
        if self.urls.is_empty() {
            return self.complete(self.uri().to_string(), &[None, None, None]);
        }
        let urls = self.urls.iter().map(|url| {
            let (url, given) = take_parameters(url.expose(), TLS_PARAMETERS);
            self.complete(with_default_vhost(&url), &given)
        });
        urls.collect::<Vec<_>>().join(",")
    }

    /// With the certificates that the URL does not name.
    fn complete(&self, url: String, given: &[Option<String>; 3]) -> String {
        let set = [&self.ca_file, &self.cert_file, &self.key_file];
        with_parameters(url, or_set(TLS_PARAMETERS, given, set))
    }

    /// Hosts and ports, for messages: they have no password.
    #[must_use]
    pub fn address(&self) -> String {
        let address = |AMQPUri { authority: AMQPAuthority { host, port, .. }, .. }| format!("{host}:{port}");
        self.effective_uris().into_iter().map(address).collect::<Vec<_>>().join(", ")
    }

    /// The virtual host.
    #[must_use]
    pub fn virtual_host(&self) -> String {
        self.effective_uris().swap_remove(0).vhost
    }

    /// The addresses, taken apart. One that cannot be read cannot be connected to either.
    fn effective_uris(&self) -> Vec<AMQPUri> {
        let parts = |url| take_parameters(url, TLS_PARAMETERS).0.parse().unwrap_or_default();
        split_urls(&self.url()).map(parts).collect()
    }

    /// Whether the addresses cannot all lead to the same broker, or only some of them are encrypted.
    fn is_mixed(&self) -> bool {
        self.effective_uris()
            .windows(2)
            .any(|pair| pair[0].vhost != pair[1].vhost || pair[0].scheme != pair[1].scheme)
    }

    fn uri(&self) -> AMQPUri {
        let userinfo =
            AMQPUserInfo { username: self.user.clone(), password: self.password.expose().to_owned() };
        AMQPUri {
            scheme: if self.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority { userinfo, host: self.host.clone(), port: self.port },
            vhost: self.vhost.clone(),
            ..AMQPUri::default()
        }
    }
}

/// `amqp://host/` names the virtual host with the empty name. That hardly exists, so it stands for the
/// default.
fn with_default_vhost(url: &str) -> String {
    match url.parse::<AMQPUri>() {
        Ok(uri) if uri.vhost.is_empty() => AMQPUri { vhost: "/".into(), ..uri }.to_string(),
        _ => url.to_owned(),
    }
}

impl Database {
    /// The address of the database, with its password and its certificates. What a given URL does not say of
    /// encryption is said by the other settings.
    #[must_use]
    pub fn url(&self) -> String {
        let url = self.url.as_ref().map_or_else(|| self.parts(), |url| url.expose().to_owned());
        let (url, [given_mode, ca, cert, key]) = take_parameters(&url, POSTGRES_PARAMETERS);
        let mode = given_mode.as_deref().unwrap_or_else(|| self.ssl_mode.name());
        let [mode_parameter, files @ ..] = POSTGRES_PARAMETERS;
        let given = [ca, cert, key];
        let set = [&self.ca_file, &self.cert_file, &self.key_file];
        let url = with_parameters(url, [(mode_parameter, Some(mode))]);
        with_parameters(url, or_set(files, &given, set))
    }

    /// Host and port, or the folder of a Unix socket, for messages: it has no password.
    #[must_use]
    pub fn address(&self) -> String {
        DatabaseUrl::parse(&self.url()).map(|url| url.address()).unwrap_or_default()
    }

    /// The name of the database.
    #[must_use]
    pub fn database_name(&self) -> String {
        DatabaseUrl::parse(&self.url()).map(|url| url.database_name()).unwrap_or_default()
    }

    fn parts(&self) -> String {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let password =
            self.password.as_ref().map(|secret| format!(":{}", encoded(secret.expose()))).unwrap_or_default();
        // The folder of a Unix socket has slashes; a host name is left readable.
        let host =
            if self.host.starts_with('/') { encoded(&self.host).to_string() } else { self.host.clone() };
        let (user, name) = (encoded(&self.user), encoded(&self.name));
        format!("postgres://{user}{password}@{host}:{}/{name}", self.port)
    }
}

/// The parameters of a URL: as given there, or else as set beside it.
fn or_set<'a>(
    names: [&'static str; 3],
    given: &'a [Option<String>; 3],
    set: [&'a Option<PathBuf>; 3],
) -> impl Iterator<Item = (&'static str, Option<&'a str>)> {
    let files = given.iter().zip(set);
    let files =
        files.map(|(given, set)| given.as_deref().or_else(|| set.as_deref().and_then(|path| path.to_str())));
    names.into_iter().zip(files)
}

impl Config {
    /// Settings that cannot hold together: the connection would be less protected than it seems.
    pub(super) fn incompatible(&self) -> Option<&'static str> {
        let Self { broker, database, http, .. } = self;
        let plain = !broker.url().starts_with("amqps://");
        let files = [&broker.ca_file, &broker.cert_file, &broker.key_file];
        let database_url = DatabaseUrl::parse(&database.url()).ok()?;
        let has_ca = database_url.files[0].is_some();
        let half = |cert: &Option<PathBuf>, key: &Option<PathBuf>| cert.is_some() != key.is_some();
        let pairs = [
            (
                broker.is_mixed(),
                "the addresses in broker.urls must have the same virtual host, and either all or none begin with \
                 amqps://",
            ),
            (broker.tls && plain, "broker.tls is true, so broker.urls have to begin with amqps://"),
            (
                plain && files.iter().any(|file| file.is_some()),
                "broker.ca_file, broker.cert_file and broker.key_file have no effect without TLS: \
                 set broker.tls, or write amqps:// in broker.urls",
            ),
            (
                half(&broker.cert_file, &broker.key_file),
                "broker.cert_file and broker.key_file belong together",
            ),
            (
                has_ca
                    && matches!(database_url.ssl_mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer),
                "database.ca_file has no effect with this database.ssl_mode: choose verify-full",
            ),
            (
                !has_ca && database_url.ssl_mode == SslMode::VerifyCa,
                "database.ssl_mode is verify-ca, which needs database.ca_file: \
                 anybody can get a certificate that the system trusts",
            ),
            (
                half(&database.cert_file, &database.key_file),
                "database.cert_file and database.key_file belong together",
            ),
            (half(&http.cert_file, &http.key_file), "http.cert_file and http.key_file belong together"),
            (
                http.client_ca_file.is_some() && http.cert_file.is_none(),
                "http.client_ca_file needs http.cert_file and http.key_file",
            ),
        ];
        pairs.into_iter().find_map(|(holds, text)| holds.then_some(text))
    }
}
