//! Texts that must not be shown: hidden when printed or serialized, read only by an explicit call.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// Printed in place of a secret.
const HIDDEN: &str = "***";

/// A password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

/// A URL that may hold a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct SecretUrl(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for sending it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl SecretUrl {
    /// Hides the password of a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL with its password, for connecting.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// The URL with everything hidden that can be a password: what follows the user's name, and parameters
/// that are named like one. A password may hold any character, so the last `@` ends it.
impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str(HIDDEN) };
        write!(f, "{scheme}://")?;
        let address = match rest.rsplit_once('@') {
            Some((user, address)) => {
                match user.split_once(':') {
                    Some((name, _)) => write!(f, "{name}:{HIDDEN}@")?,
                    None => write!(f, "{user}@")?,
                }
                address
            }
            None => rest,
        };
        let Some((address, parameters)) = address.split_once('?') else { return f.write_str(address) };
        let shown: Vec<String> = parameters.split('&').map(hide_password_parameter).collect();
        write!(f, "{address}?{}", shown.join("&"))
    }
}

fn hide_password_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}={HIDDEN}"),
        _ => parameter.to_owned(),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_hidden() {
        let cases = [
            ("amqp://guest:s3cret@broker:5672/%2f", "amqp://guest:***@broker:5672/%2f"),
            ("amqp://broker", "amqp://broker"),
            ("amqp://guest@broker", "amqp://guest@broker"),
            ("amqp://:s3cret@broker", "amqp://:***@broker"),
            ("postgres://u:s3@cr/et?@host/db?sslmode=disable", "postgres://u:***@host/db?sslmode=disable"),
            ("postgres://u@host/db?password=s3cret&a=b", "postgres://u@host/db?password=***&a=b"),
            ("postgres://host/db?Password=s3cret", "postgres://host/db?Password=***"),
            ("host=db password=s3cret", "***"),
        ];
        for (url, shown) in cases {
            assert_eq!(SecretUrl::new(url).to_string(), shown);
            assert_eq!(format!("{:?}", SecretUrl::new(url)), shown);
        }
    }
}
