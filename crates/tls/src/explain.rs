//! What a failed handshake is about, in the words of the settings.

use std::error::Error;
use std::io;

use rustls::CertificateError as Wrong;

use crate::files::Names;

/// Says which setting to look at, when TLS is the reason for this failure of a client.
#[must_use]
pub fn explain(error: &(dyn Error + 'static), names: &Names) -> Option<String> {
    let Names { ca, cert, key, host } = names;
    let error = find(error)?;
    let hint = match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            Wrong::UnknownIssuer | Wrong::BadSignature => {
                format!("the server's certificate is signed by nobody whom {ca} trusts")
            }
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
                format!("the server's certificate is for another name than {host} has")
            }
            Wrong::Expired | Wrong::ExpiredContext { .. } => {
                "the server's certificate has expired: the server needs a new one".to_owned()
            }
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet: compare the clocks".to_owned()
            }
            _ => format!("the server's certificate cannot be used (trusted is {ca})"),
        },
        rustls::Error::AlertReceived(_) => {
            format!("the server refused us: it may want another certificate of ours ({cert}, {key}), or any")
        }
        rustls::Error::InvalidMessage(_) => {
            format!("what answers there speaks no TLS: is it the right port ({host})?")
        }
        _ => "the TLS handshake failed".to_owned(),
    };
    Some(format!("{hint}: {error}"))
}

/// An I/O error hides what it carries from `source`, so it is asked for by name.
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
