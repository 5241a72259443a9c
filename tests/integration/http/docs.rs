//! The documentation: the page, and what the README says.

use std::path::Path;
use std::process::Command;

use florin::http::openapi_document;
use florin::keys::Role;

use super::console::assert_is_page;
use super::served;
use crate::common::{Http, Service, World};

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

/// The lines for HTTP, as they stand there, with the address and the database of this test.
#[tokio::test]
async fn the_lines_of_the_readme_do_what_it_says() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let readme = include_str!("../../../README.md");
    let blocks = readme.split("```").filter_map(|block| block.strip_prefix("sh\n"));
    let block = blocks.into_iter().find(|block| block.starts_with("KEY=$(florin key create")).unwrap();
    let script = block.replace("127.0.0.1:9000", &service.http_address);
    let programs = Path::new(env!("CARGO_BIN_EXE_florin")).parent().unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", &script.replace("curl ", "curl --silent --show-error --fail-with-body ")])
        .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
        .env("DATABASE_URL", &world.database_url);
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{answers}{}", String::from_utf8_lossy(&output.stderr));
    assert!(answers.contains(r#""code":200"#), "{answers}");
    assert_eq!(world.ledger().await.balances().await["1/USD"], "10.5");
}
