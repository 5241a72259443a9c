//! Several servers of a kind: a cluster of three nodes, and a primary with its standby.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use devstack::{Cluster, NODES, Options, Postgres};

const DECLARE_QUORUM_QUEUE: &str = "rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"q\">>), true, false, \
    [{<<\"x-queue-type\">>, longstr, <<\"quorum\">>}], none, <<\"florin\">>).";
const LEADER: &str = "case ra:members({'%2F_q', node()}) of {ok, _, {_, Node}} -> Node; _ -> none end.";
/// For the others to choose a new leader.
const PATIENCE: Duration = Duration::from_secs(60);
const STANDBY: &str = "standby";

#[test]
fn a_cluster_goes_on_without_any_one_of_its_nodes() {
    let mut asked = vec![];
    let route = |link: devstack::Link| {
        asked.push((link.from, link.to));
        Ok(link.port)
    };
    let mut cluster = Cluster::launch(&Options::default(), route).unwrap();
    assert_eq!(asked, [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]);
    cluster.nodes[0].ctl(&["eval", DECLARE_QUORUM_QUEUE]).unwrap();
    for place in 0..NODES {
        let name = cluster.nodes[place].ctl(&["eval", "node()."]).unwrap();
        cluster.nodes[place].kill();
        let other = &cluster.nodes[(place + 1) % NODES];
        let started = Instant::now();
        let leader = || other.ctl(&["eval", LEADER]).unwrap();
        loop {
            let leader = leader();
            if leader != name && !leader.ends_with("none") {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "{leader}");
        }
        cluster.nodes[place].start().unwrap();
        cluster.nodes[place].ctl(&["await_online_nodes", "3", "--timeout", "60"]).unwrap();
    }
}

#[test]
fn a_standby_has_each_commit_and_takes_over() {
    let mut first = Postgres::launch(&Options::default()).unwrap();
    let mut second = first.launch_standby(STANDBY).unwrap();
    first.wait_for_each_commit_on(STANDBY).unwrap();
    for round in 1..=2 {
        first
            .psql(
                "florin",
                &format!("CREATE TABLE round{round} AS SELECT generate_series(1, 1000) AS number"),
            )
            .unwrap();
        assert!(second.psql("florin", "CREATE TABLE mine (id int)").is_err(), "a standby takes no writes");
        first.kill();
        second.promote().unwrap();
        second.set("synchronous_standby_names", "").unwrap();
        for table in 1..=round {
            let count = second.psql("florin", &format!("SELECT count(*) FROM round{table}")).unwrap();
            let expected = if table == round { "1000" } else { "1001" };
            assert_eq!(count, expected, "round {round}, table {table}");
        }
        second.psql("florin", &format!("INSERT INTO round{round} VALUES (1001)")).unwrap();
        first.follow(&second, STANDBY).unwrap();
        second.wait_for_each_commit_on(STANDBY).unwrap();
        std::mem::swap(&mut first, &mut second);
    }
    let count = "SELECT count(*) FROM round1";
    assert_eq!(first.psql("florin", count).unwrap(), "1001");
}
