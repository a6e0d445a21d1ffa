//! Decides whether a store that speaks TLS is reached by those who believe it, and by nobody else.
//! Does not try every form of a certificate: the library that reads them does.

use super::papers::Authority;
use super::rig::{End, Node, World, capped};
use super::server::{Server, free_port};
use p402_core::guard::{Limits, OutagePolicy};
use p402_io::store::redis::address::Address;
use p402_io::trust::Trust;

fn plain() -> Limits {
    Limits { outage: OutagePolicy::FailClosed, ..capped(1_000_000) }
}

/// A server that speaks TLS beside its plain port; where.
fn server(authority: &Authority, asks_clients: &str) -> (Server, u16) {
    let (cert, key) = authority.issues("localhost");
    let port = free_port();
    let words = [
        ("--tls-port", port.to_string()),
        ("--tls-cert-file", cert.display().to_string()),
        ("--tls-key-file", key.display().to_string()),
        ("--tls-ca-cert-file", authority.ca().display().to_string()),
        ("--tls-auth-clients", asks_clients.to_owned()),
    ];
    let words: Vec<&str> = words.iter().flat_map(|(name, value)| [*name, value]).collect();
    (Server::with(&words), port)
}

fn trusting(trust: Trust) -> World {
    World { trust, ..World::patient() }
}

/// Who was connected to once is back after a moment: a busy machine may be slow with the first
/// handshake.
async fn is_served(node: &Node) {
    node.back(std::time::Duration::from_secs(5)).await;
    assert_eq!(node.request(1_000).await.0, End::Served);
}

async fn is_away(node: &Node) {
    for _ in 0..3 {
        let end = node.request(1_000).await.0;
        assert!(matches!(end, End::Unavailable(_)), "{end:?}");
    }
}

#[tokio::test]
async fn a_private_authority_is_believed_where_it_is_named_and_nowhere_else() {
    let authority = Authority::new();
    let (server, port) = server(&authority, "no");
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("p402").arg("on").arg(">a word").arg("~p402:*").arg("&p402:*");
    user.arg("+@all").exec(&mut server.connect()).unwrap();
    let url = format!("rediss://p402:a%20word@localhost:{port}");
    let node = trusting(authority.believed()).node(&url, 1, plain()).await;
    is_served(&node).await;
    // By the public authorities, by another private one, and under another name.
    is_away(&World::patient().node(&url, 2, plain()).await).await;
    is_away(&trusting(Authority::new().believed()).node(&url, 3, plain()).await).await;
    let elsewhere = url.replace("localhost", "127.0.0.1");
    is_away(&trusting(authority.believed()).node(&elsewhere, 4, plain()).await).await;
    let refused = url.replace("word@", "worm@");
    is_away(&trusting(authority.believed()).node(&refused, 5, plain()).await).await;
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours() {
    let authority = Authority::new();
    let (_server, port) = server(&authority, "yes");
    let url = format!("rediss://localhost:{port}");
    let (cert, key) = authority.issues("p402");
    let own = Trust::read(Some(&authority.ca()), (Some(&cert), Some(&key))).unwrap();
    is_served(&trusting(own).node(&url, 1, plain()).await).await;
    is_away(&trusting(authority.believed()).node(&url, 2, plain()).await).await;
}

#[test]
fn files_that_are_no_certificates_are_named_and_none_of_their_content() {
    let authority = Authority::new();
    let (cert, key) = authority.issues("p402");
    let (_, other) = authority.issues("other");
    let secret = authority.path("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    let missing = authority.path("missing");
    for (ca, cert, key) in [
        (Some(&*secret), None, None),
        (Some(&*missing), None, None),
        (None, Some(&*cert), None),
        (None, None, Some(&*key)),
        (None, Some(&*cert), Some(&*secret)),
        (None, Some(&*secret), Some(&*key)),
        (None, Some(&*cert), Some(&*other)),
    ] {
        let told = Trust::read(ca, (cert, key)).unwrap_err();
        assert!(!told.contains("s3cret"), "{told}");
    }
    let own = Trust::read(None, (Some(&cert), Some(&key))).unwrap();
    assert_eq!(format!("{own:?}"), "Trust { own: true, .. }");
    // Where no TLS is spoken nothing changes.
    let address = Address::parse("redis://h:1").unwrap();
    let trusting = address.clone().trusting(&own).unwrap();
    assert_eq!(format!("{trusting:?}"), format!("{address:?}"));
}
