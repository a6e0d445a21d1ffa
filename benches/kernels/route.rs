//! Decides what a plan costs: eligibility, four scores and ranking over 32, 320 and 1,024 offers.
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

fn route(c: &mut Criterion) {
    let config: Config = serde_json::from_str(&fixture::config()).expect("a valid configuration");
    let rules = Rules::from_config(&Tenant::default(), &config.routing).expect("valid rules");
    let utc = Timestamp::parse_rfc3339("2026-11-22T12:00:00Z").expect("a valid time");
    let mut group = c.benchmark_group("route");
    let cases = [("32", 32, "balanced"), ("320", 320, "balanced"), ("1024", 1_024, "balanced")];
    let modes = ["cost", "quality", "speed"].map(|mode| (mode, 320, mode));
    for (name, offers, mode) in cases.into_iter().chain(modes) {
        let text = fixture::catalog(offers);
        let catalog = Catalog::load(&[text.as_bytes()]).expect("a valid catalogue");
        let table = Table::build(&catalog, &|_| true, &config.routing);
        let world = World { catalog: &catalog, table: &table, rules: &rules };
        let mut router = Router::new(&config.routing, &config.timeouts);
        let body = fixture::request(false, mode);
        let scan = scan(body.as_bytes()).expect("a valid body");
        let wish = scan.p402.map(|field| field.value.of(body.as_bytes()));
        let options = Options::read(wish, &[]).expect("a valid field");
        let mut serial = 0_u64;
        group.bench_function(name, |b| {
            b.iter(|| {
                serial += 1;
                let now = Now { utc, ticks: Ticks::from_micros(serial * 1_000) };
                let request = RequestId::new(utc, u128::from(serial));
                let body = body.as_bytes();
                let ask = Ask { request, tenant: "bench", body, scan: &scan, options: &options };
                let plan = router.plan(&world, black_box(&ask), now).expect("a plan");
                assert_eq!(plan.considered as usize, offers);
                plan
            });
        });
    }
    group.finish();
}

criterion_group!(benches, route);
criterion_main!(benches);
