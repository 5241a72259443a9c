//! What all pages share: frame, headers, error pages, tables, badges.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::assets::{ICON_PATH, STYLE_PATH};
use crate::auth::Caller;
use crate::database::DatabaseError;
use crate::problem::Problem;
use florin_keys::Role;

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The entries of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Wallets,
    Pending,
    Dead,
    None,
}

impl Section {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Overview, "/console", "Overview"),
        (Self::Wallets, "/console/wallets", "Wallets"),
        (Self::Pending, "/console/pending", "Pending"),
        (Self::Dead, "/console/dead", "Dead letters"),
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Waits,
    Bad,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Waits => "waits",
            Self::Bad => "bad",
        }
    }
}

/// A page for a signed-in user.
pub(super) fn page(caller: &Caller, section: Section, title: &str, content: &Markup) -> Response {
    let sees_dead = caller.needs(Role::Operator).and(caller.needs_all_wallets()).is_ok();
    let header = html! {
        nav aria-label="Main" {
            @for (target, address, name) in Section::ALL {
                @if target != Section::Dead || sees_dead {
                    a href=(address) aria-current=[(target == section).then_some("page")] { (name) }
                }
            }
        }
        form.search role="search" action="/console/search" {
            label.hidden for="search" { "Transaction id or wallet number" }
            input #search type="search" name="q" placeholder="Transaction or wallet"
                autocomplete="off" spellcheck="false" required maxlength="64";
            button.plain { "Find" }
        }
        @if let Caller::Key(key) = caller {
            form.user method="post" action="/console/sign-out" {
                span { (key.name) " · " (key.role) }
                button.plain { "Sign out" }
            }
        }
    };
    framed(StatusCode::OK, title, &header, content)
}

/// A page that needs no key.
pub(crate) fn open_page(status: StatusCode, title: &str, content: &Markup) -> Response {
    let header = html! {
        nav aria-label="Main" {
            a href="/console" { "Console" }
            a href="/docs" aria-current=[(title == "API").then_some("page")] { "API" }
        }
    };
    framed(status, title, &header, content)
}

fn framed(status: StatusCode, title: &str, header: &Markup, content: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Florin" }
                link rel="icon" href=(*ICON_PATH);
                link rel="stylesheet" href=(*STYLE_PATH);
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top { div.wide { a.brand href="/console" { "Florin" } (header) } }
                main #content tabindex="-1" { (content) }
                footer { div.wide {
                    "Florin " (env!("CARGO_PKG_VERSION")) " · all times in UTC · " a href="/docs" { "API" }
                } }
            }
        }
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        // Without it browsers send forms with no Origin.
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    ];
    (status, headers, page.into_string()).into_response()
}

/// An error whose page `session::enter` renders, because it knows the user.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) title: String,
    pub(super) reason: String,
    pub(super) error: String,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let (error, title, reason) = problem.words();
        let status = match error {
            "unknown_wallet" => StatusCode::NOT_FOUND,
            _ => problem.status(),
        };
        Self { status, title: title.to_owned(), reason: reason.to_owned(), error: error.to_owned() }
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Problem::from(error).into()
    }
}

impl Failure {
    pub(super) fn page(&self, caller: Option<&Caller>) -> Response {
        let content = html! {
            div.state {
                p.code { (self.status.as_u16()) }
                h1 { (self.title.trim_end_matches('.')) }
                p { (self.reason) }
                p { a href=(format!("/docs#{}", self.error)) { "What " code { (self.error) } " means" } }
                p { a.button href="/console" { "Go to the overview" } }
            }
        };
        let mut response = match caller {
            Some(caller) => page(caller, Section::None, &self.title, &content),
            None => open_page(self.status, &self.title, &content),
        };
        *response.status_mut() = self.status;
        response
    }
}

impl IntoResponse for Failure {
    /// Leaves the rendering to `session::enter`.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The page of an error for whoever asks with a browser.
pub(crate) fn error_page(problem: Problem) -> Response {
    Failure::from(problem).page(None)
}

pub(super) fn badge(tone: Tone, word: &str) -> Markup {
    html! { span class=(format!("badge {}", tone.class())) { (word) } }
}

pub(super) fn status(status: &str) -> Markup {
    let tone = match status {
        "Success" => Tone::Good,
        "Created" => Tone::Waits,
        _ => Tone::Bad,
    };
    badge(tone, status)
}

/// The result of the form just sent.
pub(super) fn notice(tone: Tone, title: &str, text: &Markup) -> Markup {
    html! {
        div class=(format!("notice {}", tone.class())) role="status" { strong { (title) } p { (text) } }
    }
}

/// A table that scrolls sideways on small screens, also with the keyboard.
pub(super) fn table(label: &str, head: &[(&str, bool)], rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { @for (name, is_number) in head {
                    th scope="col" class=[is_number.then_some("number")] { (name) }
                } } }
                tbody { (rows) }
            }
        }
    }
}

pub(super) fn empty(title: &str, text: &str) -> Markup {
    html! { div.empty { p { strong { (title) } } p { (text) } } }
}

pub(super) fn pages(first: Option<&str>, next: Option<&str>) -> Markup {
    if first.is_none() && next.is_none() {
        return PreEscaped(String::new());
    }
    html! {
        nav.pages aria-label="Pages" {
            @if let Some(first) = first { a.button.plain href=(first) { "First page" } }
            @if let Some(next) = next { a.button.plain href=(next) rel="next" { "Next page" } }
        }
    }
}

pub(super) fn wallet_link(wallet_id: i64) -> Markup {
    html! { a href=(format!("/console/wallets/{wallet_id}")) { (wallet_id) } }
}

pub(super) fn transaction_link(transaction_id: impl std::fmt::Display) -> Markup {
    html! { a.id href=(transaction_path(&transaction_id)) { (transaction_id) } }
}

pub(super) fn transaction_path(transaction_id: impl std::fmt::Display) -> String {
    format!("/console/transactions/{transaction_id}")
}
