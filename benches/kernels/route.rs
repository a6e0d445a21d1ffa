//! Decides what a plan costs: eligibility, four scores and ranking over 32 to 1,024 made-up offers
//! and over all that are shipped, and what a prompt of 1,000 characters adds.
//! Deliberately with all offers eligible, the dearest case; the test beside it is tests/route.rs.

#![expect(clippy::expect_used, reason = "a bench whose set-up is wrong must stop")]

use criterion::{Criterion, criterion_group, criterion_main};
use p402_benches::fixture;
use p402_core::catalog::Catalog;
use p402_core::config::{Config, Tenant};
use p402_core::envelope::scan;
use p402_core::id::RequestId;
use p402_core::route::{Ask, Options, Router, Rules, Table, World};
use p402_core::time::{Now, Ticks, Timestamp};
use std::hint::black_box;

/// Every provider of the shipped catalogue keyed: more than anybody has.
const SHIPPED: &[u8] = include_bytes!("../../p402/catalog/catalog.jsonl");

/// What is planned over and over.
struct Case {
    name: &'static str,
    catalog: Vec<u8>,
    body: String,
}

fn cases() -> Vec<Case> {
    let made = |name, offers, mode| Case {
        name,
        catalog: fixture::catalog(offers).into_bytes(),
        body: fixture::request(false, mode),
    };
    let long = "How does the same question cost so much more elsewhere? ".repeat(18);
    vec![
        made("32", 32, "balanced"),
        made("320", 320, "balanced"),
        made("1024", 1_024, "balanced"),
        made("cost", 320, "cost"),
        made("quality", 320, "quality"),
        made("speed", 320, "speed"),
        Case {
            body: fixture::request(false, "balanced")
                .replace("How does", &format!("{long}How does")),
            ..made("1000 characters", 320, "balanced")
        },
        Case { catalog: SHIPPED.to_vec(), ..made("shipped", 0, "balanced") },
    ]
}

fn route(c: &mut Criterion) {
    let config: Config = serde_json::from_str(&fixture::config()).expect("a valid configuration");
    let rules = Rules::from_config(&Tenant::default(), &config.routing).expect("valid rules");
    let utc = Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").expect("a valid time");
    let mut group = c.benchmark_group("route");
    for case in cases() {
        let catalog = Catalog::load(&[case.catalog.as_slice()]).expect("a valid catalogue");
        let table = Table::build(&catalog, &|_| true, &config.routing);
        let world = World { catalog: &catalog, table: &table, rules: &rules };
        let mut router = Router::new(&config.routing, &config.timeouts);
        let body = case.body.as_bytes();
        let scan = scan(body).expect("a valid body");
        let wish = scan.p402.map(|field| field.value.of(body));
        let options = Options::read(wish, &[]).expect("a valid field");
        let mut serial = 0_u64;
        group.bench_function(case.name, |b| {
            b.iter(|| {
                serial += 1;
                let now = Now { utc, ticks: Ticks::from_micros(serial * 1_000) };
                let request = RequestId::new(utc, u128::from(serial));
                let ask = Ask { request, tenant: "bench", body, scan: &scan, options: &options };
                let plan = router.plan(&world, black_box(&ask), now).expect("a plan");
                assert!(plan.considered >= 32, "{plan:?}");
                plan
            });
        });
    }
    group.finish();
}

criterion_group!(benches, route);
criterion_main!(benches);
