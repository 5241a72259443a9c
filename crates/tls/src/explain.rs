//! Failed handshakes, explained in terms of the settings.

use std::error::Error;
use std::io;

use rustls::CertificateError as Wrong;

use crate::files::Names;

/// Names the setting to check, if TLS is the cause of a client's error.
#[must_use]
pub fn explain(error: &(dyn Error + 'static), names: &Names) -> Option<String> {
    let Names { ca, cert, key, host } = names;
    let error = find(error)?;
    let hint = match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            Wrong::UnknownIssuer | Wrong::BadSignature => {
                format!("the server's certificate is not signed by an authority in {ca}")
            }
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
                format!("the server's certificate is not for the name in {host}")
            }
            Wrong::Expired | Wrong::ExpiredContext { .. } => {
                "the server's certificate has expired: renew it on the server".to_owned()
            }
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet: check the clocks".to_owned()
            }
            _ => format!("the server's certificate is not acceptable (trusted authorities: {ca})"),
        },
        rustls::Error::AlertReceived(_) => {
            format!(
                "the server refused the connection: it may require a client certificate, or another one ({cert}, {key})"
            )
        }
        rustls::Error::InvalidMessage(_) => {
            format!("the server does not speak TLS: check the port ({host})")
        }
        _ => "the TLS handshake failed".to_owned(),
    };
    Some(format!("{hint}: {error}"))
}

/// An I/O error does not return its inner error as `source`, so it is taken with `get_ref`.
fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut cause: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

/// "connection refused", where the system says "Connection refused (os error 111)".
#[must_use]
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let Some((text, _)) = text.split_once(" (os error") else { return text };
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
