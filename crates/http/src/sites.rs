//! Keeps web pages of other sites out where requests need no key.
//!
//! A browser lets any page send requests to this machine. It names the page's site in `Origin`; and a page whose own name
//! was made to lead here (DNS rebinding) still has that name in `Host`. With keys neither matters: no page has one.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

use super::problem::{Fault, Problem};

/// The names under which HTTP may be reached.
#[derive(Debug)]
pub(super) struct Sites {
    allowed_hosts: Vec<String>,
}

impl Sites {
    pub(super) const fn new(allowed_hosts: Vec<String>) -> Self {
        Self { allowed_hosts }
    }

    /// Refuses what a page of another site can have sent.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let refused = |reason| Err(Problem::new(Fault::CrossSite, reason));
        let given = uri.authority().map(Authority::as_str).or_else(|| host(headers));
        // Every browser names the host.
        if let Some(given) = given
            && !self.allows(given)
        {
            return refused(format!(
                "without API keys only localhost, IP addresses and http.allowed_hosts are served, not {given:?}"
            ));
        }
        if headers.contains_key(header::ORIGIN) && !is_own_origin(headers) {
            return refused("without API keys no request of another origin is taken".to_owned());
        }
        Ok(())
    }

    fn allows(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else { return false };
        let host = authority.host();
        let is_address = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is = |name: &str| host.eq_ignore_ascii_case(name);
        is_address(host) || is("localhost") || self.allowed_hosts.iter().any(|allowed| is(allowed))
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default())
}

/// Whether `Origin` names the host that the request was sent to.
pub(super) fn is_own_origin(headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let authority = origin.and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    authority.is_some() && authority == host(headers)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn allowed(headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        Sites::new(vec!["florin.example".into()]).check(request.uri(), request.headers()).is_ok()
    }

    #[test]
    fn pages_of_other_sites_stay_out() {
        for host in
            ["localhost:9000", "LOCALHOST", "127.0.0.1:9000", "[::1]:9000", "192.168.0.7", "Florin.example"]
        {
            assert!(allowed(&[("host", host)]), "{host}");
            assert!(allowed(&[("host", host), ("origin", &format!("http://{host}"))]), "{host}");
            for origin in ["http://evil.example", "null", "http://localhost:3000", ""] {
                assert!(!allowed(&[("host", host), ("origin", origin)]), "{host} {origin}");
            }
        }
        for host in
            ["evil.example:9000", "localhost.evil.example", "florin.example.evil", "127.0.0.1.evil", ""]
        {
            assert!(!allowed(&[("host", host)]), "{host}");
            assert!(!allowed(&[("host", host), ("origin", &format!("http://{host}"))]), "{host}");
        }
        assert!(allowed(&[]), "no browser");
    }
}
