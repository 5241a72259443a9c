//! What pages load: assets, and the live stream.

use super::*;

#[tokio::test]
async fn assets_are_kept_by_browsers_and_change_with_their_content() {
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let http = Http::of(&service);
    let page = http.get("/console/sign-in").await.text;
    let style = page.split('"').find(|part| part.contains("console.css?v=")).unwrap();
    for (path, content_type) in [
        (style, "text/css; charset=utf-8"),
        ("/console/assets/live.js", "text/javascript; charset=utf-8"),
        ("/console/assets/icon.svg", "image/svg+xml"),
    ] {
        let asset = http.get(path).await;
        assert_eq!((asset.status, asset.header("content-type")), (200, Some(content_type)));
        assert!(asset.header("cache-control").unwrap().contains("immutable"));
        assert!(!asset.text.contains("://") || path.contains("icon"), "an address of elsewhere in {path}");
    }
    assert_eq!(http.get("/console/assets/other.js").await.status, 404);
}

/// The stream begins with what was, goes on with samples, and ends with the service.
#[tokio::test]
async fn the_live_stream_tells_how_things_stand_and_ends_with_the_service() {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let world = World::new().await;
    let service = Service::start(&world, &[]).await;
    let reader = Browser::with_role(&world, &service, Role::Reader).await;
    let mut stream = tokio::net::TcpStream::connect(&service.http_address).await.unwrap();
    let request =
        format!("GET /console/live HTTP/1.1\r\nhost: localhost\r\ncookie: {}\r\n\r\n", reader.cookie);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut history = false;
    let sample: serde_json::Value = loop {
        let line = lines.next_line().await.unwrap().expect("a stream goes on");
        history |= line.starts_with("event: history");
        if let Some(data) = line.strip_prefix("data: {") {
            break serde_json::from_str(&format!("{{{data}")).unwrap();
        }
    };
    assert!(history);
    assert_eq!((&sample["broker"], &sample["database"]), (&true.into(), &true.into()), "{sample}");
    assert_eq!((&sample["consumers"], &sample["dead"]), (&1.into(), &0.into()), "{sample}");
    assert_eq!(sample["pending"], 0, "{sample}");
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
    while let Ok(Some(_)) = lines.next_line().await {}
}
