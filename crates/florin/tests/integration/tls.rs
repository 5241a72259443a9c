//! TLS on all three sides, with certificates that are made here; and every refusal names the setting.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use devstack::{Options, Postgres, Stack, Tls};
use florin_client::{Client, ClientOptions};
use florin_store::Store;
use nix::sys::signal::Signal;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::common::{Service, World};
use crate::docs;

/// An authority, and the folder of all that it signed.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    /// Signs a certificate for this common name, and for this host when it is one. `year` is when it ends.
    fn sign(&self, name: &str, host: &[&str], year: i32) {
        let mut params =
            CertificateParams::new(host.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{name}-key.pem")), key.serialize_pem()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn server(&self, name: &str) -> Options {
        let (cert_file, key_file) =
            (self.path(&format!("{name}.pem")), self.path(&format!("{name}-key.pem")));
        let tls = Some(Tls { client_ca_file: self.path("ca.pem"), cert_file, key_file });
        Options { tls, ..Options::default() }
    }
}

/// An authority with a server that is known by its address only, and the client `florin`.
fn authority() -> Authority {
    let authority = Authority::new();
    authority.sign("server", &["127.0.0.1"], 4000);
    authority.sign("expired", &["127.0.0.1"], 2001);
    authority.sign("florin", &[], 4000);
    authority
}

async fn refusal(database_url: &str) -> String {
    match Store::new(database_url, 1) {
        Ok(store) => store.ping().await.unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

async fn broker_refusal(amqp_url: &str) -> String {
    Client::connect(amqp_url, ClientOptions::default()).await.unwrap_err().to_string()
}

/// Reads `/readyz` over TLS, with the certificate of this client or without one.
async fn readyz(service: &Service, authority: &Authority, client: Option<&str>) -> std::io::Result<String> {
    let client = florin_tls::Client {
        names: &florin_tls::Names { ca: "ca", cert: "cert", key: "key", host: "host" },
        ca_file: Some(authority.path("ca.pem")),
        cert_file: client.map(|name| authority.path(&format!("{name}.pem"))),
        key_file: client.map(|name| authority.path(&format!("{name}-key.pem"))),
    };
    let connector =
        tokio_rustls::TlsConnector::from(Arc::new(client.config(florin_tls::Check::Full).unwrap()));
    let tcp = TcpStream::connect(&service.http_address).await?;
    let mut stream = connector.connect(ServerName::try_from("127.0.0.1").unwrap(), tcp).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: florin\r\nconnection: close\r\n\r\n").await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    Ok(page)
}

/// Its lines, with our addresses, and with the certificates that these servers want of every client.
async fn as_the_page_says(stack: &Stack, authority: &Authority, service: &Service) {
    let folder = authority.folder.path().to_str().unwrap();
    let of_client = format!("certfile={folder}/florin.pem&keyfile={folder}/florin-key.pem");
    let broker = format!("florin:florin@127.0.0.1:{}/%2f?{of_client}&", stack.rabbit.tls_port().unwrap());
    let (_, database) = stack.postgres.url().rsplit_once('@').map(|(_, at)| ((), at.to_owned())).unwrap();
    let of_client = format!("sslcert={folder}/florin.pem&sslkey={folder}/florin-key.pem");
    let database = format!("florin@{database}?{of_client}&");
    let words = [
        ("user:password@broker.example:5671/vhost?", broker.as_str()),
        ("user:password@db.example/name?", database.as_str()),
        // The one that runs is asked, and another is started and stopped.
        (
            "florin serve\n",
            "florin dead list; florin verify; florin demo --yes; FLORIN_HTTP_PORT=0 timeout 5 florin serve || [ $? = 124 ]\n",
        ),
        (
            "curl ",
            "curl --silent --show-error --cert /etc/florin/florin.pem --key /etc/florin/florin-key.pem ",
        ),
        ("https://florin.example:9000", &format!("https://{}", service.http_address)),
        ("/etc/florin", folder),
    ];
    let script = docs::block("docs/guides/tls.md", "export AMQP_URL='amqps:", &words);
    let printed = docs::done(docs::shell(&script)).await;
    assert!(printed.contains("120 of 120"), "{printed}");
    assert!(printed.contains("ready"), "{printed}");
}

#[tokio::test]
async fn all_three_sides_are_encrypted_and_refuse_strangers() {
    let authority = Arc::new(authority());
    let options = authority.server("server");
    let stack = tokio::task::spawn_blocking(move || Stack::start(&options).unwrap()).await.unwrap();
    let (ca, cert, key) =
        (authority.text("ca.pem"), authority.text("florin.pem"), authority.text("florin-key.pem"));
    let port = stack.rabbit.tls_port().unwrap();
    let broker = format!("amqps://florin:florin@127.0.0.1:{port}/%2f?cacertfile={ca}");
    let amqp_url = format!("{broker}&certfile={cert}&keyfile={key}");
    let database = format!("{}?sslrootcert={ca}&sslcert={cert}&sslkey={key}", stack.postgres.url());
    let world = World::at(format!("{database}&sslmode=verify-full"), amqp_url.clone()).await;

    let (server_cert, server_key) = (authority.text("server.pem"), authority.text("server-key.pem"));
    let http = [
        ("FLORIN_HTTP_CERT_FILE", server_cert.as_str()),
        ("FLORIN_HTTP_KEY_FILE", server_key.as_str()),
        ("FLORIN_HTTP_CLIENT_CA_FILE", ca.as_str()),
        ("SERVER_PORT", "0"),
        ("FLORIN_HTTP_HOST", "127.0.0.1"),
    ];
    let mut service = Service::start(&world, &http).await;
    let client = world.client().await;
    assert_eq!(client.invoice(1, "USD", "10.50".parse().unwrap()).await.unwrap().reply.code, 200);
    let page = readyz(&service, &authority, Some("florin")).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(readyz(&service, &authority, None).await.is_err());
    as_the_page_says(&stack, &authority, &service).await;
    service.signal(Signal::SIGHUP);
    service.line_with("HTTP certificates reloaded").await;
    assert!(readyz(&service, &authority, Some("florin")).await.is_ok());

    let stranger = Authority::new();
    let strange_ca = stranger.text("ca.pem");
    let broker_cases = [
        (amqp_url.replace(&ca, &strange_ca), "broker.ca_file"),
        (amqp_url.replace("127.0.0.1", "localhost"), "broker.host"),
        (amqp_url.replace(&port.to_string(), &stack.rabbit.port().to_string()), "does not speak TLS"),
        (amqp_url.replace("florin-key.pem", "server-key.pem"), "does not belong"),
        (amqp_url.replace("florin-key.pem", "missing.pem"), "missing.pem cannot be read"),
        (amqp_url.replace("amqps:", "amqp:"), "amqps://"),
    ];
    for (url, part) in broker_cases {
        let message = broker_refusal(&url).await;
        assert!(message.contains(part) && !message.contains("florin:florin"), "{part}: {message}");
    }
    // Without a certificate the broker hangs up, in one way or another.
    broker_refusal(&broker).await;

    let full = format!("{database}&sslmode=verify-full");
    let by_name = database.replace("127.0.0.1", "localhost");
    let database_cases = [
        (full.replace(&ca, &strange_ca), "database.ca_file"),
        (format!("{by_name}&sslmode=verify-full"), "database.host"),
        (full.replace(&cert, &authority.text("server.pem")), "does not belong"),
        (full.replace("ca.pem", "missing.pem"), "missing.pem cannot be read"),
        (format!("{}?sslmode=require", stack.postgres.url()), "certificate"),
        // Every line there is for connections with TLS.
        (format!("{database}&sslmode=disable"), "no pg_hba.conf entry"),
    ];
    for (url, part) in database_cases {
        let message = refusal(&url).await;
        assert!(message.contains(part), "{part}: {message}");
    }
    // No name is checked here, and nothing at all there.
    for accepted in [
        format!("{by_name}&sslmode=verify-ca"),
        format!("{by_name}&sslmode=prefer").replace(&ca, &strange_ca),
        format!("{by_name}&sslmode=allow"),
    ] {
        Store::new(&accepted, 1).unwrap().ping().await.unwrap();
    }
    assert!(service.terminate().await.0.success());
}

#[tokio::test]
async fn an_expired_certificate_and_a_plain_server_are_refused() {
    let authority = authority();
    let options = authority.server("expired");
    let (expired, plain) = tokio::task::spawn_blocking(move || {
        (Postgres::launch(&options).unwrap(), Postgres::launch(&Options::default()).unwrap())
    })
    .await
    .unwrap();
    let ca = authority.text("ca.pem");
    for mode in ["verify-ca", "verify-full"] {
        let message = refusal(&format!("{}?sslmode={mode}&sslrootcert={ca}", expired.url())).await;
        assert!(message.contains("has expired"), "{message}");
    }
    for mode in ["require", "verify-full"] {
        let message = refusal(&format!("{}?sslmode={mode}&sslrootcert={ca}", plain.url())).await;
        assert!(message.contains("does not support TLS"), "{message}");
    }
    for mode in ["disable", "allow", "prefer"] {
        let store = Store::new(&format!("{}?sslmode={mode}", plain.url()), 1).unwrap();
        store.ping().await.unwrap();
    }
}

/// Whoever connects and never begins to speak delays nobody.
#[tokio::test]
async fn silent_clients_delay_no_handshake() {
    let authority = authority();
    let world = World::new().await;
    let (cert, key) = (authority.text("server.pem"), authority.text("server-key.pem"));
    let http = [("FLORIN_HTTP_CERT_FILE", cert.as_str()), ("FLORIN_HTTP_KEY_FILE", key.as_str())];
    let service = Service::start(&world, &http).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(&service.http_address).await.unwrap());
    }
    let started = Instant::now();
    let page = readyz(&service, &authority, None).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

/// New files are taken at SIGHUP, unusable ones are not; and who only holds a connection open is cut off.
#[tokio::test]
async fn the_certificates_of_http_are_renewed_while_it_runs() {
    let (old, new) = (authority(), authority());
    let world = World::new().await;
    let (cert, key, ca) = (old.text("server.pem"), old.text("server-key.pem"), old.text("ca.pem"));
    let http = [
        ("FLORIN_HTTP_CERT_FILE", cert.as_str()),
        ("FLORIN_HTTP_KEY_FILE", key.as_str()),
        ("FLORIN_HTTP_CLIENT_CA_FILE", ca.as_str()),
    ];
    let mut service = Service::start(&world, &http).await;
    let mut silent = TcpStream::connect(&service.http_address).await.unwrap();
    assert!(readyz(&service, &old, Some("florin")).await.is_ok());
    assert!(readyz(&service, &old, Some("expired")).await.is_err(), "its time is over");

    for file in ["ca.pem", "server.pem", "server-key.pem"] {
        fs::copy(new.path(file), old.path(file)).unwrap();
    }
    service.signal(Signal::SIGHUP);
    service.line_with("HTTP certificates reloaded").await;
    assert!(readyz(&service, &new, Some("florin")).await.is_ok());
    assert!(readyz(&service, &new, None).await.is_err());

    fs::write(old.path("server.pem"), "nothing").unwrap();
    service.signal(Signal::SIGHUP);
    service.line_with("HTTP certificates not reloaded").await;
    assert!(readyz(&service, &new, Some("florin")).await.is_ok());
    let cut = tokio::time::timeout(Duration::from_secs(60), silent.read(&mut [0])).await;
    assert_eq!(cut.expect("cut off").unwrap(), 0);
}
