//! Decides whether sentinels lead to the primary, and to the next one while requests run.
//! Does not measure how fast they agree: that is theirs.

use super::rig::{End, Node, PATIENT, PATIENT_SEED, World, capped};
use super::server::{Server, free_port};
use p402_core::guard::{Code, Limits};
use p402_core::money::Usd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const PRICE: i64 = 1_000;
/// Requests that the cap has room for.
const ROOM: i64 = 3_000;

/// A sentinel of the test's own; it alone decides.
struct Sentinel {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    async fn over(primary: &Server) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = folder.path().join("sentinel.conf");
        let told = [
            format!("port {port}"),
            format!("sentinel monitor main 127.0.0.1 {} 1", primary.port()),
            "sentinel down-after-milliseconds main 300".to_owned(),
            "sentinel failover-timeout main 5000\n".to_owned(),
        ];
        std::fs::write(&file, told.join("\n")).unwrap();
        let child = Command::new("redis-server")
            .args([file.as_os_str(), "--sentinel".as_ref()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "the sentinel does not answer");
            sleep(Duration::from_millis(5)).await;
        }
        Self { child, port, _folder: folder }
    }

    /// The first sentinel of the list is not there.
    fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{},127.0.0.1:{}/main", free_port(), self.port)
    }

    fn says(&self, what: &str) -> String {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        let mut asked = redis::cmd("INFO");
        let told: String =
            asked.arg("sentinel").query(&mut client.get_connection().unwrap()).unwrap();
        assert!(told.contains("master0:"), "{told}");
        told.split(',').find_map(|word| word.strip_prefix(what)).unwrap_or_default().to_owned()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn sentinels_name_the_primary() {
    let primary = Server::start();
    let sentinel = Sentinel::over(&primary).await;
    let node = World::patient().node(&sentinel.url(), 1, capped(1_000_000)).await;
    assert_eq!(node.request(PRICE).await.0, End::Served);
}

/// How requests ended, and the longest wait for an admission.
#[derive(Debug, Default)]
struct Told {
    served: usize,
    drawn: usize,
    unavailable: usize,
    refused: usize,
    slowest: Duration,
}

impl Told {
    async fn ask(&mut self, node: &Node) -> End {
        let (end, took) = node.request(PRICE).await;
        self.slowest = self.slowest.max(took);
        *match end {
            End::Served => &mut self.served,
            End::Drawn => &mut self.drawn,
            End::Unavailable(_) => &mut self.unavailable,
            End::Refused(_) => &mut self.refused,
        } += 1;
        end
    }
}

#[tokio::test]
async fn a_failover_under_requests_overspends_nothing_and_every_request_is_answered() {
    let mut primary = Server::start();
    let port = primary.port().to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &port]);
    replica.until("master_link_status", "up");
    let sentinel = Sentinel::over(&primary).await;
    let world = World::patient();
    let limits = Limits { slice_max: Usd::from_nano(50 * PRICE), ..capped(ROOM * PRICE) };
    let nodes = [
        world.node(&sentinel.url(), 1, limits).await,
        world.node(&sentinel.url(), 2, limits).await,
    ];
    let end = Instant::now() + Duration::from_secs(40);
    let mut before = Told::default();
    // Each of them holds a slice for what comes, and the sentinel knows of the replica.
    before.ask(&nodes[0]).await;
    while !nodes.iter().all(Node::has_slice) || sentinel.says("slaves=") != "1" {
        assert!(Instant::now() < end, "not settled in");
        for node in &nodes {
            before.ask(node).await;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((before.drawn, before.unavailable, before.refused), (0, 0, 0));
    primary.kill();
    let (mut away, mut back) = (Told::default(), [false; 2]);
    while back != [true; 2] {
        assert!(Instant::now() < end, "not back: {away:?}");
        for (node, back) in nodes.iter().zip(&mut back) {
            *back = away.ask(node).await == End::Served || *back;
        }
        sleep(Duration::from_millis(5)).await;
    }
    assert!(away.drawn > 0, "the slices are spent meanwhile: {away:?}");
    // A deadline, and a recovery where there was one.
    assert!(away.slowest < PATIENT + PATIENT_SEED + PATIENT, "{away:?}");
    assert_eq!(replica.says("role"), "master");
    // What is left can be spent, by either of them, and not a nano more.
    let mut after = Told::default();
    while world.billed() < ROOM * PRICE {
        assert!(Instant::now() < end, "{} {after:?}", world.billed());
        for node in &nodes {
            if after.ask(node).await != End::Served {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
    assert_eq!(world.billed(), ROOM * PRICE);
    assert_eq!(nodes[0].request(PRICE).await.0, End::Refused(Code::DailyCap));
}
