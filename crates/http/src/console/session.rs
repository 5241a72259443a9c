//! Sessions: the API key in a cookie that only the console gets, and no script.
//!
//! The cookie is the key itself: a revoked or expired key is out at once, and the server keeps no sessions.
//! Forged forms are refused twice: browsers send the cookie with forms of our own pages only
//! (`SameSite=Strict`), and a form is taken only if the browser says that it comes from our own origin.

use std::time::Duration;

use axum::Form;
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use maud::html;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::layout::{Failure, open_page};
use crate::App;
use crate::auth::Caller;
use crate::problem::{Fault, Problem};
use crate::sites::is_own_origin;
use crate::text::malformed;
use florin_keys::Role;

const COOKIE: &str = "florin_key";
/// How long the cookie is valid: a working day.
const MAX_AGE: Duration = Duration::from_secs(12 * 3600);
const FORM_TIMEOUT: Duration = Duration::from_secs(10);
const HOME: &str = "/console";

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    key: String,
    #[serde(default)]
    next: String,
}

#[derive(Debug)]
pub(super) struct Fields<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Fields<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        match timeout(FORM_TIMEOUT, Form::from_request(request, app)).await {
            Ok(Ok(Form(fields))) => Ok(Self(fields)),
            Ok(Err(rejection)) => Err(malformed(rejection.body_text()).into()),
            Err(_) => Err(Problem::new(Fault::TooSlow, "the form did not arrive in time").into()),
        }
    }
}

/// Refuses callers below this role, passes the caller on to the page, and renders error pages.
pub(super) async fn enter(
    State((app, role)): State<(App, Role)>,
    mut request: Request,
    next: Next,
) -> Response {
    let Ok(_place) = app.places.try_acquire() else {
        return Failure::from(Problem::new(Fault::Overloaded, "too many requests in progress")).page(None);
    };
    let cookies = CookieJar::from_headers(request.headers());
    let (caller, _in_flight) = match app.authenticator.caller(cookies.get(COOKIE).map(Cookie::value)).await {
        Ok(entered) => entered,
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => return to_sign_in(&request),
        Err(problem) => return Failure::from(problem).page(None),
    };
    if let Caller::Anybody = caller
        && let Err(problem) = app.sites.check(request.uri(), request.headers())
    {
        return Failure::from(problem).page(None);
    }
    if let Err(problem) = caller.needs(role) {
        return Failure::from(problem).page(Some(&caller));
    }
    request.extensions_mut().insert(caller.clone());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Failure>() {
        Some(failure) => failure.page(Some(&caller)),
        None => response,
    }
}

/// Refuses forms that do not come from our own pages.
pub(super) async fn same_origin_only(request: Request, next: Next) -> Response {
    if request.method() == Method::POST && !is_same_origin(request.headers()) {
        let reason = "the form does not come from this console: open the page again";
        return Failure::from(Problem::new(Fault::Forbidden, reason)).page(None);
    }
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Failure>() {
        Some(failure) => failure.page(None),
        None => response,
    }
}

/// Old browsers, and plain HTTP, send only the origin.
fn is_same_origin(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => is_own_origin(headers),
    }
}

/// Pages are shown after signing in; forms and the live view are refused.
fn to_sign_in(request: &Request) -> Response {
    if request.method() != Method::GET || request.uri().path() == "/console/live" {
        let reason = "your session has ended: sign in again";
        return Failure::from(Problem::new(Fault::Unauthorized, reason)).page(None);
    }
    let wanted = request.uri().path_and_query().map_or(HOME, |wanted| wanted.as_str());
    let next = utf8_percent_encode(wanted, NON_ALPHANUMERIC);
    Redirect::to(&format!("/console/sign-in?next={next}")).into_response()
}

/// Only pages of the console: no open redirect.
fn inside(next: &str) -> &str {
    let is_page = next.strip_prefix(HOME).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_page && is_plain { next } else { HOME }
}

/// `GET /console/sign-in`.
pub(super) async fn form(Query(Wanted { next }): Query<Wanted>) -> Response {
    sign_in_page(StatusCode::OK, &next, None)
}

/// `POST /console/sign-in`.
pub(super) async fn sign_in(
    State(app): State<App>,
    headers: HeaderMap,
    Fields(SignIn { key, next }): Fields<SignIn>,
) -> Response {
    let key = key.trim();
    match app.authenticator.caller(Some(key)).await {
        Ok((Caller::Anybody, _)) => Redirect::to(HOME).into_response(),
        Ok((Caller::Key(_), _)) => with_cookie(is_https(&app, &headers), key, MAX_AGE, inside(&next)),
        Err(problem) => {
            let (_, _, reason) = problem.words();
            sign_in_page(problem.status(), &next, Some(reason))
        }
    }
}

/// `POST /console/sign-out`.
pub(super) async fn sign_out(State(app): State<App>, headers: HeaderMap) -> Response {
    with_cookie(is_https(&app, &headers), "", Duration::ZERO, "/console/sign-in")
}

/// By our own TLS, or a proxy's.
fn is_https(app: &App, headers: &HeaderMap) -> bool {
    app.over_tls || headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
}

fn with_cookie(is_https: bool, value: &str, max_age: Duration, next: &str) -> Response {
    let cookie = Cookie::build((COOKIE, value.to_owned()))
        .path(HOME)
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(is_https)
        .max_age(max_age.try_into().expect("half a day at the most"));
    (CookieJar::new().add(cookie), Redirect::to(next)).into_response()
}

fn sign_in_page(status: StatusCode, next: &str, wrong: Option<&str>) -> Response {
    let content = html! {
        div.narrow {
            h1 { "Sign in" }
            p { "Use an API key, created with " code { "florin key create" } ". Its role and wallets decide \
                 what you see and may do." }
            form.stack method="post" action="/console/sign-in" {
                input type="hidden" name="next" value=(inside(next));
                label for="key" { "API key" }
                input #key type="password" name="key" required autofocus autocomplete="current-password"
                    maxlength="200" placeholder="florin_…" aria-invalid=[wrong.map(|_| "true")]
                    aria-describedby=[wrong.map(|_| "wrong")];
                @if let Some(wrong) = wrong { p.wrong #wrong role="alert" { (wrong) "." } }
                button { "Sign in" }
            }
        }
    };
    open_page(status, "Sign in", &content)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for next in ["/console", "/console/wallets?from=7", "/console?x"] {
            assert_eq!(inside(next), next);
        }
        for next in [
            "",
            "//evil",
            "https://evil/console",
            "/console.evil",
            "/consolex",
            "/console/\\evil",
            "/console/\r\nx",
        ] {
            assert_eq!(inside(next), HOME, "{next}");
        }
    }

    #[test]
    fn forms_come_from_here() {
        let from_here = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| {
                (header::HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            is_same_origin(&pairs.collect())
        };
        assert!(from_here(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(from_here(&[("origin", "https://florin:9000"), ("host", "florin:9000")]));
        assert!(!from_here(&[
            ("sec-fetch-site", "same-site"),
            ("origin", "http://florin"),
            ("host", "florin")
        ]));
        assert!(!from_here(&[("origin", "http://evil"), ("host", "florin")]));
        assert!(!from_here(&[("origin", "null"), ("host", "null")]));
        assert!(!from_here(&[("host", "florin")]));
    }
}
