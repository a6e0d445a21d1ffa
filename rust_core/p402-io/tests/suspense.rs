//! Decides what becomes of a hold that nobody renews while its request still runs: a clock that is
//! moved by hand passes its lease, its suspense, a day. Does not judge the account's arithmetic.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

mod stage;

use p402_core::config::Config;
use p402_core::guard::{Claim, Code, Kind, Op, Reply};
use p402_core::id::RequestId;
use p402_core::ledger::{self, Row};
use p402_core::money::Usd;
use p402_core::time::{Day, Now, Ticks};
use p402_io::clock::{Clock, ManualClock};
use p402_io::gateway::Gateway;
use p402_io::home::Home;
use p402_io::outbox::Outbox;
use p402_io::store::{Tenant, Trip};
use p402_io::transport::scripted::ScriptedTransport;
use p402_io::world::World;
use serde_json::{Value, json};
use stage::{HELLO, START, answer, cost_ask, head, start, world};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

const COST: Usd = Usd::from_nano(1_600_000);
const HOUR_S: u64 = 3_600;
/// As long as the first answer takes.
const SLOW: Duration = Duration::from_secs(1);

/// A gateway whose first request runs and is not renewed: nobody tends the node.
struct Scene {
    gateway: Gateway,
    clock: Arc<ManualClock>,
    slow: Arc<Outbox>,
    hold: Usd,
    _folder: TempDir,
}

impl Scene {
    async fn of(guard: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut guard = guard;
        (guard["budget_usd"], guard["budget_period"]) = (json!("10"), json!("total"));
        let config = json!({"guard": guard});
        let own: Config = serde_json::from_value(config.clone()).unwrap();
        let world: World = world(&config);
        let begin = Now { utc: START, ticks: Ticks::default() };
        let limits = |id: &str| world.tenant(id).limits;
        let home = Arc::new(Home::open(&own, folder.path(), &limits, begin).unwrap());
        let slow = u64::try_from(SLOW.as_millis()).unwrap();
        let scripts = json!([
            {"steps": [{"wait_ms": slow}, {"chunk": HELLO}], "times": 1},
            {"steps": [{"chunk": HELLO}]},
        ]);
        let transport = ScriptedTransport::new(serde_json::from_value(scripts).unwrap());
        let clock = Arc::new(ManualClock::at(START));
        let ticking = Arc::clone(&clock) as Arc<dyn Clock>;
        let gateway = Gateway::new(world, Box::new(transport), ticking, Some(home));
        let slow = start(&gateway, &cost_ask(false));
        tokio::time::sleep(Duration::from_millis(1)).await;
        let scene = Self { gateway, clock, slow, hold: Usd::ZERO, _folder: folder };
        let hold = scene.account().held;
        assert!(hold > COST);
        Self { hold, ..scene }
    }

    /// What the account says; only to ask lets no time pass in it.
    fn account(&self) -> Reply {
        let world = self.gateway.node.world.load();
        let tenant = Tenant { id: "acme", limits: &world.tenant("acme").limits };
        let home = self.gateway.node.home().unwrap();
        match home.store.call(&tenant, Op::Renew(&[]), self.gateway.node.clock.now().utc) {
            Trip::Made(answer) => answer.unwrap(),
            Trip::Underway(_) => unreachable!("memory answers at once"),
        }
    }

    /// Time passes, and somebody asks: an answer for its cost.
    async fn later(&self, seconds: u64) -> Reply {
        self.clock.advance_micros(seconds * 1_000_000);
        assert_eq!(answer(&self.gateway, &cost_ask(false)).await.0, 200);
        self.account()
    }

    fn suspense(&self) -> (u64, i64) {
        self.gateway.node.home().unwrap().store.vitals().suspense.unwrap()
    }

    /// The slow answer is there at last.
    async fn end(&self) -> Reply {
        tokio::time::sleep(SLOW).await;
        assert_eq!(head(&self.slow).await.status, 200);
        self.account()
    }

    /// All that the ledger counts.
    fn booked(&self) -> Usd {
        let mut books = self.gateway.node.home().unwrap().ledger.books().unwrap();
        let balances = books.balances(Day::from_days(0)).unwrap();
        balances.iter().fold(Usd::ZERO, |sum, day| sum.saturating_add(day.spent))
    }

    fn counted(&self, what: impl Fn(&p402_io::meter::Meter) -> &AtomicU64) -> u64 {
        what(&self.gateway.node.meter).load(Ordering::Relaxed)
    }
}

fn times(cost: Usd, count: i64) -> Usd {
    Usd::from_nano(cost.nano() * count)
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_lapses_is_counted_until_its_late_end_books_what_it_cost() {
    let scene = Scene::of(json!({})).await;
    let lives = scene.later(299).await;
    assert_eq!((scene.suspense(), lives.held), ((0, 0), scene.hold));
    let lapsed = scene.later(2).await;
    assert_eq!(scene.suspense(), (1, scene.hold.nano()));
    assert_eq!((lapsed.held, lapsed.suspense, lapsed.in_flight), (scene.hold, scene.hold, 0));
    // Over midnight, up to the last hour.
    let waits = scene.later(23 * HOUR_S).await;
    assert_eq!((waits.held, waits.budget_spent), (scene.hold, times(COST, 3)));
    let ended = scene.end().await;
    assert_eq!(scene.suspense(), (0, 0));
    assert_eq!((ended.held, ended.budget_spent), (Usd::ZERO, times(COST, 4)));
    assert_eq!(scene.booked(), times(COST, 4));
    assert_eq!(scene.counted(|meter| &meter.late_settle), 1);
    assert_eq!(scene.counted(|meter| &meter.settle_unknown), 0);
}

#[tokio::test(start_paused = true)]
async fn a_suspense_that_is_over_books_the_hold_once_and_a_later_truth_takes_its_place() {
    let scene = Scene::of(json!({})).await;
    scene.later(301).await;
    assert_eq!(scene.suspense(), (1, scene.hold.nano()));
    for asked in 1..=3 {
        // Asked again and again: booked once.
        let over = scene.later(if asked == 1 { 24 * HOUR_S } else { 60 }).await;
        assert_eq!((scene.suspense(), over.held), ((0, 0), Usd::ZERO));
        let spent = times(COST, 1 + asked).saturating_add(scene.hold);
        assert_eq!(over.budget_spent, spent);
    }
    let ended = scene.end().await;
    assert_eq!((ended.held, ended.budget_spent), (Usd::ZERO, times(COST, 5)));
    assert_eq!(scene.booked(), times(COST, 5));
    assert_eq!(scene.counted(|meter| &meter.settle_unknown), 1);
    // And the account goes on from there.
    assert_eq!(scene.later(1).await.budget_spent, times(COST, 6));
}

#[tokio::test(start_paused = true)]
async fn whatever_a_lapse_does_the_end_makes_account_and_ledger_one() {
    for (word, hours) in [("charge", 24), ("release", 24), ("suspense", 2)] {
        let scene = Scene::of(json!({"on_expiry": word, "suspense_settle_h": hours})).await;
        let lapsed = scene.later(301).await;
        let (held, spent) = match word {
            "charge" => (Usd::ZERO, COST.saturating_add(scene.hold)),
            "release" => (Usd::ZERO, COST),
            _ => (scene.hold, COST),
        };
        assert_eq!((lapsed.held, lapsed.budget_spent), (held, spent), "{word}");
        if word == "suspense" {
            assert_eq!(scene.later(2 * HOUR_S - 10).await.held, scene.hold);
            let over = scene.later(20).await;
            assert_eq!(over.budget_spent, times(COST, 3).saturating_add(scene.hold));
        }
        let ended = scene.end().await;
        assert_eq!((ended.held, ended.budget_spent), (Usd::ZERO, scene.booked()), "{word}");
        assert_eq!(scene.counted(|meter| &meter.settle_unknown), 1, "{word}");
    }
}

/// An end that the account does not know has it read anew, while the row of another is written
/// and its settlement is not said yet.
#[tokio::test(start_paused = true)]
async fn what_has_ended_in_the_ledger_is_not_counted_again_by_its_own_settlement() {
    let scene = Scene::of(json!({"on_expiry": "charge"})).await;
    let home = scene.gateway.node.home().unwrap();
    let limits = scene.gateway.node.world.load().tenant("acme").limits;
    let tenant = Tenant { id: "acme", limits: &limits };
    let now = START;
    let rid = RequestId::new(now, 77);
    let claim = Claim { rid, amount: COST, owner: home.owner, kind: Kind::Request };
    let ask = |op: Op<'_>| match home.store.call(&tenant, op, scene.clock.now().utc) {
        Trip::Made(answer) => answer.unwrap(),
        Trip::Underway(_) => unreachable!("memory answers at once"),
    };
    assert_eq!(ask(Op::Admit(claim)).code, Code::Done);
    let row = Row::new(ledger::Kind::Dispatch, rid, "acme", now.utc_day(), now);
    home.ledger.append(&Row { held: COST, attempt: 1, ..row }).map(drop).unwrap();
    let other = ask(Op::Settle { rid: RequestId::new(now, 78), owner: 1, actual: COST });
    assert_eq!((other.code, other.held), (Code::Unknown, scene.hold.saturating_add(COST)));
    let end = Row { kind: ledger::Kind::Settle, cost: COST, ..row };
    home.ledger.append(&end).map(drop).unwrap();
    let other = ask(Op::Settle { rid: RequestId::new(now, 78), owner: 1, actual: COST });
    assert_eq!((other.held, other.budget_spent), (scene.hold, COST));
    let own = ask(Op::Settle { rid, owner: home.owner, actual: COST });
    assert_eq!((own.code, own.budget_spent), (Code::Unknown, COST));
    let ended = scene.end().await;
    assert_eq!((ended.held, ended.budget_spent), (Usd::ZERO, scene.booked()));
}
