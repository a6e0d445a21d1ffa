//! Decides whether a ledger in PostgreSQL is reached by TLS, by whom it should, and by nobody else.
//! Does not repeat what every index does (ledger_postgres).

mod books;
#[path = "books/cluster.rs"]
mod cluster;
mod papers;

use books::{DAY, now, settled, until};
use cluster::Cluster;
use p402_core::money::Usd;
use p402_io::ledger::{Books, IndexAt, Ledger, Options};
use papers::Authority;
use std::path::Path;

fn reached(folder: &Path, url: &str) -> Result<(), String> {
    let at = IndexAt::Postgres(url.to_owned());
    Books::open(folder, &at).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_ledger_is_kept_by_tls_between_those_who_know_each_other() {
    let authority = Authority::new();
    let (cert, key) = authority.issues("localhost");
    let papers = [("ssl_cert_file", cert), ("ssl_key_file", key), ("ssl_ca_file", authority.ca())];
    let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = probe.local_addr().expect("an address").port();
    drop(probe);
    let _cluster = Cluster::guarded(port, papers);
    let (cert, key) = authority.issues("p402");
    // A path in a URL is quoted.
    let spaced = authority.path("an authority.pem");
    std::fs::copy(authority.ca(), &spaced).expect("a copy");
    let quoted = spaced.display().to_string().replace(' ', "%20");
    let own = format!("sslcert={}&sslkey={}", cert.display(), key.display());
    let place = format!("localhost:{port}/postgres?sslmode=verify-full");
    let whole = format!("postgresql://p402@{place}&sslrootcert={quoted}&{own}");
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        Options { index: IndexAt::Postgres(whole.clone()), ..Options::new(folder.path()) };
    let ledger = Ledger::open(&options, now()).expect("the ledger opens");
    for n in 1..=20 {
        ledger.append(&settled(n, 1, 0)).map(drop).expect("a row");
    }
    until("indexed", || ledger.index_state().indexed == 20);
    let seed = ledger.books().and_then(|mut books| books.seed("acme", DAY, DAY));
    assert_eq!(seed.expect("a seed").day_spent, Usd::from_nano(20));

    let other = Authority::new();
    let (stranger, strangers_key) = other.issues("p402");
    let stranger = format!("sslcert={}&sslkey={}", stranger.display(), strangers_key.display());
    let wrong = [
        // By the public authorities; by another private one; under another name.
        whole.replace(&format!("&sslrootcert={quoted}"), ""),
        whole.replace(&quoted, &other.ca().display().to_string()),
        whole.replace("localhost", "127.0.0.1"),
        // Without TLS, without a certificate, with another authority's, and as somebody else.
        format!("postgresql://p402@localhost:{port}/postgres?sslmode=disable"),
        whole.replace(&format!("&{own}"), ""),
        whole.replace(&own, &stranger),
        whole.replace("p402@", "postgres@"),
        whole.replace("verify-full", "verify-somehow"),
        whole.replace("&sslkey=", "&sslkeys="),
        whole.replace(&quoted, "/no/such/file"),
    ];
    for url in wrong {
        let told = reached(folder.path(), &url);
        assert!(told.is_err(), "{url}");
    }
    reached(folder.path(), &whole).expect("the right one still");
}
