//! Decides whether the machine inside Redis is the core's own: replies and bytes, one by one.
//! Does not measure it (benches do), and does not touch connections or outages: store.rs does.
//!
//! `P402_TWIN_EVENTS` (100,000) and `P402_TWIN_SEED` (1) lengthen or repeat a run.

use super::server::Server;
use p402_core::guard::{
    Account, Claim, Code, Fence, Kind, Limits, OnExpiry, Op, Open, Period, RECORDS_MAX, RENEW_MAX,
    Rate, Reply, Seed,
};
use p402_core::id::RequestId;
use p402_core::money::Usd;
use p402_core::time::{Day, Timestamp};
use p402_io::store::redis::wire::{self, Call};

/// 2026-11-22, noon.
const START_US: i64 = 1_795_348_800_000_000;
/// 2100-02-25: a year that is no leap year lies ahead.
const LEAP_US: i64 = 4_107_110_400_000_000;
const SECOND_US: i64 = 1_000_000;
const EPOCH: i64 = 77;
const BATCH: usize = 200;

/// SplitMix64: the same sequence on every host.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    fn below(&mut self, end: i64) -> i64 {
        (self.roll() % end as u64) as i64
    }
    fn one_in(&mut self, chances: i64) -> bool {
        self.below(chances) == 0
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as i64) as usize]
    }
}

/// What the store should hold of one tenant.
struct Tenant {
    key: String,
    limits: Limits,
    account: Option<Account>,
}

fn usd(nano: i64) -> Usd {
    Usd::from_nano(nano)
}

fn limits(dice: &mut Dice, big: bool) -> Limits {
    let limit = dice.pick(&[3, 60, 1_000, 7_777_777]);
    Limits {
        rate: Rate { limit, per_s: dice.pick(&[1, 60, 3_600]), burst: dice.pick(&[1, 5, limit]) },
        daily_cap: usd(dice.pick(&[0, 5_000, 1_000_000, 9_000_000_000_000_000])),
        in_flight_max: if big { 256 } else { dice.pick(&[1, 3, 10]) },
        budget: dice.pick(&[None, Some(usd(7_000)), Some(usd(9_000_000_000_000_000))]),
        period: dice.pick(&[Period::Month, Period::Month, Period::Total]),
        hold_lease_ms: dice.pick(&[20_000, 300_000]),
        slot_lease_ms: dice.pick(&[5_000, 15_000]),
        on_expiry: dice.pick(&[OnExpiry::Suspense, OnExpiry::Charge, OnExpiry::Release]),
        suspense_ms: dice.pick(&[60_000, 86_400_000]),
        ..Limits::default()
    }
}

/// Ids whose bytes also occur elsewhere in a record, and plain ones.
fn rid(dice: &mut Dice, big: bool) -> RequestId {
    let plain = dice.below(if big { 400 } else { 14 }) as u128;
    let bits = dice.pick(&[plain, plain, plain, plain << 64, plain << 120, u128::MAX, 0]);
    RequestId::from_bits(bits)
}

fn amount(dice: &mut Dice) -> Usd {
    let small = dice.below(3_000);
    usd(dice.pick(&[
        small,
        small,
        small,
        small,
        0,
        1,
        1 << 60,
        -5,
        8_999_999_999_999_999,
        i64::MIN,
    ]))
}

/// Time stands, runs, jumps over leases, days and months, and now and then is set back.
fn pass(dice: &mut Dice, now_us: i64) -> i64 {
    let step = match dice.below(400) {
        0 => 31 * 86_400 * SECOND_US,
        1..=4 => 86_400 * SECOND_US + dice.below(5),
        5..=7 => -dice.below(4_000 * SECOND_US),
        8..=19 => dice.below(700 * SECOND_US),
        20..=60 => dice.below(30 * SECOND_US),
        61..=120 => 0,
        _ => dice.below(900_000),
    };
    (now_us + step).clamp(0, 4_400_000_000_000_000)
}

fn fence(dice: &mut Dice, account: Option<&Account>, now: Timestamp) -> Fence {
    let version = account.map_or(0, |account| account.header().version);
    let deadline = match dice.below(20) {
        0 => Some(Timestamp::from_micros((now.micros() - 1).max(1))),
        1..=9 => Some(Timestamp::from_micros(now.micros() + dice.below(2))),
        _ => None,
    };
    Fence {
        epoch: if dice.one_in(40) { EPOCH + 1 } else { EPOCH },
        version: if dice.one_in(40) { version + 1 } else { version - dice.below(2).min(version) },
        deadline,
    }
}

fn seed(dice: &mut Dice, now: Timestamp, big: bool) -> Seed {
    let day = now.utc_day();
    let open = (0..dice.below(5))
        .map(|_| Open {
            rid: rid(dice, big),
            amount: usd(dice.below(2_000)),
            day: Day::from_days(day.days() - dice.below(3) as i32),
            owner: dice.below(9) as u32,
            slice: dice.one_in(3),
        })
        .collect::<Vec<_>>();
    let mut distinct = Vec::new();
    for hold in open {
        if distinct.iter().all(|other: &Open| other.rid != hold.rid) {
            distinct.push(hold);
        }
    }
    Seed {
        epoch: EPOCH,
        version: dice.below(1_000),
        tat_us: (now.micros() + dice.below(9 * SECOND_US) - SECOND_US).max(0),
        day,
        day_spent: usd(dice.below(3_000)),
        prev_spent: usd(dice.below(3_000)),
        budget_spent: usd(dice.below(9_000)),
        open: distinct,
    }
}

/// What the store answers about an account that is not there.
fn without(code: Code, now: Timestamp) -> Reply {
    Reply {
        code,
        replayed: false,
        late: false,
        retry_ms: 0,
        in_flight: 0,
        day: Day::from_days(0),
        admitted: Day::from_days(0),
        day_spent: Usd::ZERO,
        day_held: Usd::ZERO,
        budget_spent: Usd::ZERO,
        held: Usd::ZERO,
        suspense: Usd::ZERO,
        parked: Usd::ZERO,
        tat_us: 0,
        version: 0,
        now,
        fates: Vec::new(),
    }
}

impl Tenant {
    /// The very millisecond at which the first lease ends.
    fn next_end_us(&self) -> Option<i64> {
        let header = *self.account.as_ref()?.header();
        (header.next_expiry_ms < START_US).then_some(header.next_expiry_ms * 1_000)
    }

    /// One event, here and as a call for the store; what the store must answer.
    fn step(&mut self, dice: &mut Dice, now: Timestamp, big: bool) -> (Call, Reply) {
        if dice.one_in(300) {
            self.limits = limits(dice, big);
        }
        let seeding = self.account.is_none() || dice.one_in(150);
        if seeding && !dice.one_in(3) {
            return self.recover(dice, now, big);
        }
        let fence = fence(dice, self.account.as_ref(), now);
        let rids: Vec<RequestId> =
            (0..dice.below(if big { 300 } else { 6 })).map(|_| rid(dice, big)).collect();
        let one = rid(dice, big);
        let drift = dice.below(500) - 250;
        let op = match dice.below(100) {
            0..=44 => Op::Admit(Claim {
                rid: one,
                amount: amount(dice),
                owner: dice.pick(&[1, 2, u32::MAX]),
                kind: dice.pick(&[
                    Kind::Request,
                    Kind::Request,
                    Kind::Request,
                    Kind::Closed,
                    Kind::Slice,
                ]),
            }),
            45..=74 => {
                Op::Settle { rid: one, owner: dice.pick(&[1, 1, 2, 0]), actual: amount(dice) }
            }
            75..=84 => Op::Extend { rid: one, amount: amount(dice) },
            85..=96 => Op::Renew(&rids),
            _ => Op::Adjust {
                day: Day::from_days(now.utc_day().days() + dice.below(4) as i32 - 2),
                nano: dice.pick(&[drift, i64::MAX, i64::MIN]),
            },
        };
        let call = Call::new(&fence, op, &self.limits);
        let reply = match &mut self.account {
            Some(account) => account.call(&fence, op, &self.limits, now),
            None => without(Code::Cold, now),
        };
        (call, reply)
    }

    /// A crash that the ledger repairs; half of the time somebody was faster.
    fn recover(&mut self, dice: &mut Dice, now: Timestamp, big: bool) -> (Call, Reply) {
        let account = Account::seeded(&seed(dice, now, big), &self.limits, now);
        let there = self.account.as_ref().map(Account::encode).unwrap_or_default();
        let seen = if dice.one_in(4) { b"somebody else's.".to_vec() } else { there.clone() };
        let late = dice.one_in(8);
        let deadline = late.then(|| Timestamp::from_micros((now.micros() - 1).max(1)));
        let call = Call::recover(deadline, &seen, &account);
        let code = match () {
            () if late => Code::Late,
            () if seen != there => Code::Recover,
            () => Code::Done,
        };
        if code == Code::Done {
            self.account = Some(account);
        }
        (call, without(code, now))
    }
}

/// The twin with an explicit clock in place of the server's: that one line, and no other.
fn under_test(text: &str) -> String {
    let clock = "local function clock()
  local time = redis.call('TIME')
  return time[1] * 1e6 + time[2]
end";
    assert_eq!(text.matches(clock).count(), 1);
    let told = "local function clock(args) return (struct.unpack('<d', args[2])) end";
    text.replace(clock, told)
}

/// How the twin is called: as functions, or as a script where Redis has none.
#[derive(Clone, Copy)]
enum Form<'a> {
    Functions,
    Script(&'a str),
}

impl Form<'_> {
    fn command(self, call: &Call, key: &str, now: Timestamp) -> redis::Cmd {
        let now = (now.micros() as f64).to_le_bytes();
        let mut command = match self {
            Self::Functions => redis::cmd("FCALL"),
            Self::Script(sha) => {
                let mut command = redis::cmd("EVALSHA");
                command.arg(sha).arg(1).arg(key).arg(call.function);
                command.arg(&call.argument).arg(&now);
                return command;
            }
        };
        command.arg(call.function).arg(1).arg(key).arg(&call.argument).arg(&now);
        command
    }
}

fn rehearse(form: Form<'_>, server: &Server, dice: &mut Dice, (events, from_us): (usize, i64)) {
    let mut connection = server.connect();
    let mut tenants: Vec<Tenant> = (0..4)
        .map(|number| Tenant {
            key: format!("p402:{{{number}-{}}}:acct", dice.roll()),
            limits: limits(dice, number == 0),
            account: None,
        })
        .collect();
    let mut now_us = from_us;
    let mut seen = std::collections::HashMap::<Code, usize>::new();
    let mut done = 0;
    while done < events {
        let mut pipeline = redis::pipe();
        let mut expected = Vec::new();
        for _ in 0..BATCH {
            let which = dice.below(4) as usize;
            now_us = pass(dice, now_us);
            if let Some(ends_us) = dice.one_in(25).then(|| tenants[which].next_end_us()).flatten() {
                now_us = ends_us;
            }
            let now = Timestamp::from_micros(now_us);
            let tenant = &mut tenants[which];
            if dice.one_in(500) {
                tenant.account = None;
                pipeline.cmd("DEL").arg(&tenant.key).ignore();
            }
            let (call, reply) = tenant.step(dice, now, which == 0);
            pipeline.add_command(form.command(&call, &tenant.key, now));
            pipeline.cmd("GET").arg(&tenant.key);
            *seen.entry(reply.code).or_default() += 1;
            let blob = tenant.account.as_ref().map(Account::encode);
            expected.push((call, reply, blob));
        }
        let answers: Vec<(Vec<u8>, Option<Vec<u8>>)> = pipeline.query(&mut connection).unwrap();
        for ((call, reply, blob), (answer, stored)) in expected.into_iter().zip(answers) {
            done += 1;
            assert_eq!(Reply::decode(&answer), Ok(reply.clone()), "event {done}: {call:?}");
            assert_eq!(answer, reply.encode(), "event {done}: {call:?}");
            let told = stored.as_deref().map(Account::decode);
            assert!(stored == blob, "event {done}: {call:?} leaves {told:?}");
        }
    }
    // Every answer was met: a run that never refuses proves nothing.
    assert_eq!(seen.len(), 10, "{seen:?}");
}

fn told(name: &str, fallback: u64) -> u64 {
    std::env::var(name).ok().map_or(fallback, |text| text.parse().unwrap())
}

#[test]
fn the_functions_are_the_cores_twin_byte_for_byte() {
    let server = Server::start();
    let text = under_test(&wire::library());
    let loaded: String =
        redis::cmd("FUNCTION").arg("LOAD").arg(text).query(&mut server.connect()).unwrap();
    assert_eq!(loaded, "p402_v1");
    let (events, seed) = (told("P402_TWIN_EVENTS", 100_000), told("P402_TWIN_SEED", 1));
    rehearse(Form::Functions, &server, &mut Dice(seed), (events as usize, START_US));
}

#[test]
fn the_script_for_a_redis_without_functions_is_the_same_text() {
    let server = Server::start();
    let text = under_test(&wire::script());
    let sha: String =
        redis::cmd("SCRIPT").arg("LOAD").arg(text).query(&mut server.connect()).unwrap();
    rehearse(Form::Script(&sha), &server, &mut Dice(2), (10_000, LEAP_US));
}

#[test]
fn an_account_full_of_records_refuses_and_renews_alike() {
    let server = Server::start();
    let mut connection = server.connect();
    let text = under_test(&wire::library());
    let _: String = redis::cmd("FUNCTION").arg("LOAD").arg(text).query(&mut connection).unwrap();
    let (limits, now) = (Limits::default(), Timestamp::from_micros(START_US));
    let mut account = Account::new(EPOCH, &limits, now);
    let _: () = redis::cmd("SET").arg("full").arg(account.encode()).query(&mut connection).unwrap();
    let fence = Fence { epoch: EPOCH, version: 0, deadline: None };
    let rids: Vec<RequestId> = (0..RENEW_MAX as u128 + 9).map(RequestId::from_bits).collect();
    let slice = |number: usize| {
        let rid = RequestId::from_bits(number as u128);
        Op::Admit(Claim { rid, amount: Usd::ZERO, owner: 1, kind: Kind::Slice })
    };
    let ops = (0..RECORDS_MAX + 2).map(slice).chain([Op::Renew(&rids)]);
    for (number, op) in ops.enumerate() {
        let reply = account.call(&fence, op, &limits, now);
        let call = Call::new(&fence, op, &limits);
        let command = Form::Functions.command(&call, "full", now);
        let answer: Vec<u8> = command.query(&mut connection).unwrap();
        assert_eq!(answer, reply.encode(), "call {number}");
        let full = (RECORDS_MAX..RECORDS_MAX + 2).contains(&number);
        assert_eq!(reply.code == Code::Concurrency, full, "call {number}");
    }
    let stored: Vec<u8> = redis::cmd("GET").arg("full").query(&mut connection).unwrap();
    assert_eq!(stored, account.encode());
}

#[test]
fn what_is_no_account_is_never_taken_for_one() {
    let server = Server::start();
    let mut connection = server.connect();
    let text = under_test(&wire::library());
    let _: String = redis::cmd("FUNCTION").arg("LOAD").arg(text).query(&mut connection).unwrap();
    let (limits, now) = (Limits::default(), Timestamp::from_micros(START_US));
    let account = Account::new(EPOCH, &limits, now).encode();
    let mut other_layout = account.clone();
    other_layout[120..].copy_from_slice(&2f64.to_le_bytes());
    let fence = Fence { epoch: EPOCH, version: 0, deadline: None };
    let call = Call::new(&fence, Op::Renew(&[]), &limits);
    for hostile in [&b"garbage"[..], &account[..127], &[&account[..], b"x"].concat(), &other_layout]
    {
        let _: () = redis::cmd("SET").arg("odd").arg(hostile).query(&mut connection).unwrap();
        let answer: Vec<u8> =
            Form::Functions.command(&call, "odd", now).query(&mut connection).unwrap();
        assert_eq!(Reply::decode(&answer), Ok(without(Code::Recover, now)));
        let command = Form::Functions.command(&Call::peek(), "odd", now);
        let peeked: Vec<u8> = command.query(&mut connection).unwrap();
        assert_eq!(wire::peeked(&peeked), Some((now, hostile)));
    }
}
