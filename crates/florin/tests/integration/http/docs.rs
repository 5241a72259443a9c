//! The documentation page.

use florin_http::openapi_document;
use florin_keys::Role;

use super::console::assert_is_page;
use super::served;
use crate::common::Http;

#[tokio::test]
async fn the_documentation_has_every_address_and_an_anchor_for_each_error() {
    let (_world, service, _) = served(Role::Reader).await;
    let page = Http::of(&service).get("/docs").await;
    assert_eq!(page.status, 200);
    assert_is_page(&page);
    assert!(!page.text.contains("<script"));
    let document = openapi_document();
    let errors = document["x-errors"].as_array().unwrap();
    assert!(errors.len() > 20, "{}", errors.len());
    for error in errors {
        let anchor = format!("id=\"{}\"", error["error"].as_str().unwrap());
        assert_eq!(page.text.matches(&anchor).count(), 1, "{anchor}");
    }
    for (path, methods) in document["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            assert!(page.text.contains(&format!("<code>{path}</code>")), "{path}");
            let anchor = format!("id=\"operation-{}\"", operation["operationId"].as_str().unwrap());
            assert_eq!(page.text.matches(&anchor).count(), 1, "{anchor}");
        }
    }
    assert!(page.text.contains("/asyncapi.json"));
}
