//! Style, script and icon: compiled in, under URLs that change with their content.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::operations::no_such_endpoint;

/// Of the content's hash, in the URL.
const HASH_DIGITS: usize = 12;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const STYLE: Asset = Asset {
    name: "console.css",
    content_type: "text/css; charset=utf-8",
    content: include_str!("assets/console.css"),
};
const LIVE: Asset = Asset {
    name: "live.js",
    content_type: "text/javascript; charset=utf-8",
    content: include_str!("assets/live.js"),
};
const ICON: Asset =
    Asset { name: "icon.svg", content_type: "image/svg+xml", content: include_str!("assets/icon.svg") };

pub(super) static STYLE_PATH: LazyLock<String> = LazyLock::new(|| STYLE.path());
pub(super) static LIVE_PATH: LazyLock<String> = LazyLock::new(|| LIVE.path());
pub(super) static ICON_PATH: LazyLock<String> = LazyLock::new(|| ICON.path());

impl Asset {
    fn path(&self) -> String {
        let hash: String = Sha256::digest(self.content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .take(HASH_DIGITS / 2)
            .collect();
        format!("/console/assets/{}?v={hash}", self.name)
    }
}

/// `GET /console/assets/{name}`. No key needed: the sign-in page uses them.
pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let Some(asset) = [STYLE, LIVE, ICON].into_iter().find(|asset| asset.name == name) else {
        return no_such_endpoint().into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    (headers, asset.content).into_response()
}
