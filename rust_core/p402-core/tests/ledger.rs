//! Rows and what they add up to.

use p402_core::id::RequestId;
use p402_core::ledger::{
    Balance, Flags, Kind, MODEL_BYTES_MAX, Open, PROVIDER_BYTES_MAX, ROW_BYTES, Replay, Row,
    RowFault, Seq, TENANT_BYTES_MAX, mismatches, session_hash, short_name,
};
use p402_core::money::Usd;
use p402_core::route::Mode;
use p402_core::time::{Day, Timestamp};
use proptest::prelude::*;
use std::fmt::Write;

const TODAY: Day = Day::from_days(20_779);

fn rid(n: u128) -> RequestId {
    RequestId::new(TODAY.start(), n)
}

fn row(kind: Kind, n: u128) -> Row<'static> {
    Row {
        provider: "anthropic",
        model: "claude-haiku-4-5",
        provider_request_id: "req_011CSHoEeqs5C35K2UUqR7Fy",
        mode: Some(Mode::Cost),
        key: 0x1122_3344_5566_7788,
        session: session_hash("chat-7"),
        ..Row::new(kind, rid(n), "acme", TODAY, TODAY.start())
    }
}

fn dispatch(n: u128, held: i64) -> Row<'static> {
    Row { held: Usd::from_nano(held), attempt: 1, ..row(Kind::Dispatch, n) }
}

fn settle(n: u128, cost: i64, wasted: i64) -> Row<'static> {
    let (cost, wasted) = (Usd::from_nano(cost), Usd::from_nano(wasted));
    Row { cost, wasted, ..row(Kind::Settle, n) }
}

fn replay(rows: &[Row<'_>]) -> Replay {
    let mut replay = Replay::default();
    for row in rows {
        replay.push(row);
    }
    replay
}

fn spent(replay: &Replay) -> i64 {
    replay.spent("acme", TODAY, TODAY).nano()
}

#[test]
fn a_row_is_256_bytes_and_says_the_same_when_read_back() {
    let seq = Seq::new(7, 9);
    let written = Row { seq, flags: Flags::ESTIMATED.with(Flags::SLICE), ..settle(1, 42, 7) };
    let bytes = written.encode(seq);
    assert_eq!(bytes.len(), ROW_BYTES);
    assert_eq!(Row::decode(&bytes), Ok(written));
    assert_eq!(written.flags.names().collect::<Vec<_>>(), ["estimated", "slice"]);
}

#[test]
fn the_form_of_a_row_is_fixed() {
    let bytes = settle(1, 42, 7).encode(Seq::new(7, 9));
    let mut hex = String::new();
    for byte in bytes {
        write!(hex, "{byte:02x}").unwrap();
    }
    insta::assert_snapshot!("row", hex);
}

#[test]
fn a_long_name_is_cut_the_same_way_each_time_and_stays_itself() {
    let long = "accounts/fireworks/models/dobby-mini-unhinged-plus-llama-3-1-8b-and-more";
    let other = format!("{long}r");
    let short = short_name(long, MODEL_BYTES_MAX);
    assert_eq!(short.len(), MODEL_BYTES_MAX);
    assert_eq!(short, short_name(long, MODEL_BYTES_MAX));
    assert_ne!(short, short_name(&other, MODEL_BYTES_MAX));
    assert_eq!(short_name("gpt-6", MODEL_BYTES_MAX), "gpt-6");
    assert!(short_name(&"é".repeat(40), TENANT_BYTES_MAX).len() <= TENANT_BYTES_MAX);
}

#[test]
fn names_of_any_length_leave_the_others_whole() {
    let long = "x".repeat(300);
    let written = Row {
        tenant: &long,
        provider: &long,
        model: &long,
        provider_request_id: &long,
        ..row(Kind::Settle, 1)
    };
    let bytes = written.encode(Seq::default());
    let read = Row::decode(&bytes).unwrap();
    assert_eq!(read.tenant, short_name(&long, TENANT_BYTES_MAX));
    assert_eq!(read.provider, short_name(&long, PROVIDER_BYTES_MAX));
    assert_eq!(read.model, short_name(&long, MODEL_BYTES_MAX));
    assert_eq!(read.provider_request_id, "", "no room is left");
    let bytes = Row { provider_request_id: &long, ..row(Kind::Settle, 1) }.encode(Seq::default());
    let room = ROW_BYTES - 132 - "acme".len() - "anthropic".len() - "claude-haiku-4-5".len();
    assert_eq!(Row::decode(&bytes).unwrap().provider_request_id, &long[..room]);
}

#[test]
fn a_later_releases_row_is_told_from_a_damaged_one() {
    let mut bytes = settle(1, 42, 7).encode(Seq::default());
    bytes[4] = 2;
    assert_eq!(Row::decode(&bytes), Err(RowFault::Checksum));
    let sum = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(Row::decode(&bytes), Err(RowFault::Version(2)));
}

#[test]
fn money_counts_once_on_the_day_of_admission() {
    let tomorrow = TODAY.start().micros() + 86_400_000_000;
    let late = Row { at: Timestamp::from_micros(tomorrow), ..settle(1, 40, 2) };
    let rows = [dispatch(1, 100), late, late, Row { kind: Kind::Release, ..late }];
    let replay = replay(&rows);
    assert_eq!(spent(&replay), 42);
    assert_eq!(replay.repeated(), 2);
    assert!(replay.open().is_empty());
    assert_eq!(replay.spent("acme", Day::from_days(20_780), Day::from_days(20_781)), Usd::ZERO);
}

#[test]
fn corrections_are_signed_and_each_counts_once() {
    let correct =
        |attempt, nano| Row { attempt, cost: Usd::from_nano(nano), ..row(Kind::Adjust, 1) };
    let rows = [settle(1, 40, 0), correct(0, -10), correct(0, -10), correct(1, 3)];
    assert_eq!(spent(&replay(&rows)), 33);
}

#[test]
fn what_was_sent_and_never_ended_is_settled_at_its_hold() {
    let extended = Row { held: Usd::from_nano(150), ..row(Kind::Extend, 1) };
    let rows = [row(Kind::Intent, 2), dispatch(1, 100), extended, row(Kind::Suspense, 1)];
    let replay = replay(&rows);
    let open = replay.open();
    let now = Timestamp::from_micros(TODAY.start().micros() + 5);
    let ended: Vec<_> = open.iter().map(|(_, open)| open.end(now).unwrap()).collect();
    assert_eq!(ended.len(), 2);
    let (settled, released) = (&ended[0], &ended[1]);
    assert_eq!(
        (settled.kind, settled.wasted, settled.cost),
        (Kind::Settle, Usd::from_nano(150), Usd::ZERO)
    );
    assert!(settled.flags.has(Flags::ESTIMATED.with(Flags::LATE)));
    assert_eq!((settled.day, settled.at, settled.tenant), (TODAY, now, "acme"));
    assert_eq!((released.kind, released.spent()), (Kind::Release, Usd::ZERO));
}

#[test]
fn a_stretch_tells_what_it_changes_of_requests_before_it() {
    let before = replay(&[dispatch(1, 100), dispatch(2, 100), dispatch(3, 100)]);
    let extended = Row { held: Usd::from_nano(150), ..row(Kind::Extend, 2) };
    let stretch = replay(&[settle(1, 9, 0), extended, row(Kind::Suspense, 3)]);
    let open = before.open().into_iter().map(|(rid, open)| (rid, open.clone()));
    let told: Vec<_> = stretch
        .outstanding(open)
        .into_iter()
        .map(|(rid, open)| (rid, open.held.nano(), open.suspended))
        .collect();
    assert_eq!(told, [(rid(2), 150, false), (rid(3), 100, true)]);
}

#[test]
fn a_dispatch_states_the_whole_hold_whatever_was_told_before_it() {
    let extended = Row { held: Usd::from_nano(150), ..row(Kind::Extend, 1) };
    let stretch = replay(&[extended, dispatch(1, 100)]);
    assert_eq!(stretch.carried().count(), 0);
    assert_eq!(stretch.open()[0].1.held, Usd::from_nano(100));
}

#[test]
fn one_nano_is_a_mismatch() {
    let balance = |tenant: &str, nano| Balance {
        tenant: tenant.into(),
        day: TODAY,
        spent: Usd::from_nano(nano),
    };
    let rows = [balance("a", 5), balance("b", 7), balance("c", 1)];
    let counters = [balance("a", 5), balance("b", 8), balance("d", 2)];
    let found = mismatches(&rows, &counters);
    let told: Vec<_> =
        found.iter().map(|m| (&*m.tenant, m.rows.nano(), m.counter.nano())).collect();
    assert_eq!(told, [("b", 7, 8), ("c", 1, 0), ("d", 0, 2)]);
}

fn any_name(bytes_max: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..bytes_max).prop_map(move |chars| {
        let text: String = chars.into_iter().collect();
        text[..text.floor_char_boundary(bytes_max)].to_owned()
    })
}

fn any_row() -> impl Strategy<Value = Row<'static>> {
    let names =
        (any_name(TENANT_BYTES_MAX), any_name(PROVIDER_BYTES_MAX), any_name(MODEL_BYTES_MAX));
    let small = (0..Kind::ALL.len(), 0..=Mode::ALL.len(), any::<[u16; 3]>(), any::<[u32; 4]>());
    let large = (any::<u128>(), any::<[u64; 3]>(), any::<[i64; 5]>());
    let tokens = prop::array::uniform4(0..1_u64 << 40);
    (names, small, large, tokens).prop_map(|(names, small, large, tokens)| {
        let (kind, mode, [flags, status, attempt], [version, latency, upstream, day]) = small;
        let (rid, [seq, key, session], [at, money @ ..]) = large;
        let [held, cost, wasted, direct] = money.map(Usd::from_nano);
        let [input_tokens, cached_tokens, output_tokens, reasoning_tokens] = tokens;
        let (rid, day) = (RequestId::from_bits(rid), Day::from_days(day as i32));
        let at = Timestamp::from_micros(at);
        Row {
            attempt: if Kind::ALL[kind].closes() { 0 } else { attempt as u8 },
            seq: Seq::from_bits(seq),
            key,
            provider: names.1.leak(),
            model: names.2.leak(),
            session,
            mode: Mode::ALL.get(mode).copied(),
            status,
            flags: Flags::from_bits(flags),
            input_tokens,
            cached_tokens,
            output_tokens,
            reasoning_tokens,
            price_version: version,
            latency_us: latency,
            provider_latency_us: upstream,
            held,
            cost,
            wasted,
            direct,
            ..Row::new(Kind::ALL[kind], rid, names.0.leak(), day, at)
        }
    })
}

proptest! {
    #[test]
    fn every_row_comes_back_whole(row in any_row()) {
        let bytes = row.encode(row.seq);
        prop_assert_eq!(Row::decode(&bytes), Ok(row));
    }

    #[test]
    fn no_changed_bit_goes_unseen(row in any_row(), bit in 0..ROW_BYTES * 8) {
        let mut bytes = row.encode(row.seq);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(Row::decode(&bytes), Err(RowFault::Checksum));
    }

    #[test]
    fn hostile_bytes_under_a_true_checksum_are_read_or_refused(content: [u8; 32], rest: [u8; 32]) {
        let mut bytes = [0; ROW_BYTES];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = content[index % 32].wrapping_mul(rest[index / 8]);
        }
        bytes[4] = 1;
        bytes[5] %= 10;
        bytes[7] %= 6;
        let sum = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        if let Ok(row) = Row::decode(&bytes) {
            let again = row.encode(row.seq);
            prop_assert_eq!(Row::decode(&again), Ok(row));
        }
    }

    /// However the rows of one ledger are cut into stretches, they say the same.
    #[test]
    fn a_replay_in_parts_is_the_replay_of_the_whole(
        script in prop::collection::vec((0..6_u128, 0..6_usize, 1..100_i64), 0..60),
        cut in 0..60_usize,
    ) {
        let rows = played(&script);
        let whole = replay(&rows);
        let cut = cut.min(rows.len());
        let (first, second) = (replay(&rows[..cut]), replay(&rows[cut..]));
        let twice = second.closed().any(|rid| first.closed().any(|had| had == rid));
        prop_assert!(twice || spent(&first) + spent(&second) == spent(&whole));
        let own = |(rid, open): (RequestId, &Open)| (rid, open.clone());
        let open = second.outstanding(first.open().into_iter().map(own)).into_iter();
        let open = open.filter(|(rid, _)| !first.closed().any(|closed| closed == *rid));
        let expected: Vec<_> = whole.open().into_iter().map(own).collect();
        prop_assert_eq!(open.collect::<Vec<_>>(), expected);
    }
}

/// Requests that begin before they go on, and may end more than once.
fn played(script: &[(u128, usize, i64)]) -> Vec<Row<'static>> {
    let mut begun = std::collections::HashSet::new();
    let later = [Kind::Dispatch, Kind::Settle, Kind::Release, Kind::Extend, Kind::Suspense];
    let rows = script.iter().map(|(n, kind, nano)| {
        let first = begun.insert(*n);
        let kind = if first { [Kind::Intent, Kind::Dispatch][kind % 2] } else { later[kind % 5] };
        let (amount, row) = (Usd::from_nano(*nano), row(kind, *n));
        if kind.closes() { Row { cost: amount, ..row } } else { Row { held: amount, ..row } }
    });
    rows.collect()
}
