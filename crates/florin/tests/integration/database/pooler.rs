//! PgBouncer in front of the database. Left out, with a message, where it is not installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use devstack::{Program, free_ports};
use florin_wire::{MovementBody, Request, SettleBody};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::common::{Http, Run, Service, World, call};

const PLACES: [&str; 2] = ["/usr/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];

struct Pooler {
    _program: Program,
    _folder: TempDir,
    database_url: String,
}

/// PgBouncer as it comes, but for what is said here; none where it is not installed.
async fn pooler(world: &World, settings: &str) -> Option<Pooler> {
    let Some(path) = PLACES.iter().map(Path::new).find(|path| path.exists()) else {
        eprintln!("left out: PgBouncer is not installed");
        return None;
    };
    let [port] = free_ports().unwrap();
    let (server, name) = world.database_url.rsplit_once('/').unwrap();
    let (_, server_port) = server.rsplit_once(':').unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = folder.path().join("pgbouncer.ini");
    let text = format!(
        "[databases]\n{name} = host=127.0.0.1 port={server_port} user=florin\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n{settings}\n"
    );
    fs::write(&file, text).unwrap();
    let mut program = Program::new("pgbouncer", path).unwrap();
    program.start(&arguments(file), &[]).unwrap();
    let accepts = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(program.runs(), "{}", fs::read_to_string(program.log()).unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), accepts).await.expect("PgBouncer starts");
    let database_url = format!("postgres://florin@127.0.0.1:{port}/{name}");
    Some(Pooler { _program: program, _folder: folder, database_url })
}

/// It refuses to work for root, and takes another user then.
fn arguments(file: PathBuf) -> Vec<String> {
    let file = file.display().to_string();
    if nix::unistd::geteuid().is_root() { vec!["-u".into(), "nobody".into(), file] } else { vec![file] }
}

/// A service on this database does its work, over the broker and over HTTP.
pub(super) async fn move_money(world: &World) {
    let service = Service::start(world, &[("FLORIN_HTTP_AUTH", "false")]).await;
    let client = world.client().await;
    let body = |amount: &str| MovementBody::new(1, "USD", amount.parse().unwrap());
    assert_eq!(call(&client, Request::Invoice(body("10"))).await.code, 200);
    assert_eq!(call(&client, Request::Transfer(body("1").to_wallet(2))).await.code, 200);
    let held = call(&client, Request::Withdraw(body("2").pending(Some(Duration::from_secs(1))))).await;
    let settled = call(&client, Request::Withdraw(body("3").pending(None))).await.receipt().unwrap();
    let settle = Request::Settle(SettleBody::new(settled.transaction_id));
    assert_eq!(call(&client, settle).await.code, 200);
    let http = Http::of(&service);
    let reads = (0..40).map(|_| http.get("/wallets/1/balance"));
    for answer in futures_util::future::join_all(reads).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // The expiry worker has its lock.
    let held = held.receipt().unwrap().transaction_id;
    let path = format!("/transactions/{held}");
    let expired = async { while http.get(&path).await.json()["body"]["status"] != "Error" {} };
    tokio::time::timeout(Duration::from_secs(60), expired).await.expect("it expires");
    let balance = http.get("/wallets/1/balance").await;
    assert!(balance.text.contains(r#""actual_balance":{"USD":6}"#), "{balance:?}");
}

#[tokio::test]
async fn a_pooler_in_session_mode_works_as_it_comes() {
    let world = World::new().await;
    let Some(pooler) = pooler(&world, "pool_mode = session").await else { return };
    let pooled = World { database_url: pooler.database_url.clone(), ..world.clone() };
    move_money(&pooled).await;
    world.ledger().await.assert_sound().await;
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused_by_name() {
    let world = World::new().await;
    for settings in ["pool_mode = transaction", "pool_mode = transaction\nserver_round_robin = 1"] {
        let Some(pooler) = pooler(&world, settings).await else { return };
        let pooled = World { database_url: pooler.database_url.clone(), ..world.clone() };
        let (status, log) = Service::spawn(&pooled, &[]).exit().await;
        assert!(status.code() == Some(1) && log.contains("pool_mode = session"), "{log}");
        let migrated = Run::florin("amqp://none", &["migrate", "--database-url", &pooled.database_url]).await;
        assert!(migrated.code == Some(1) && migrated.stderr.contains("pool_mode = session"), "{migrated:?}");
    }
}
