//! What may be asked about spending, and that sums tell no bucket in parts.

use p402_core::id::RequestId;
use p402_core::ledger::{
    Asker, Fault, Flags, GroupBy, Kind, Question, Row, Sums, Tally, session_hash,
};
use p402_core::money::Usd;
use p402_core::reply::{ApiError, usage_json};
use p402_core::route::Mode;
use p402_core::time::{Day, Timestamp};
use proptest::prelude::*;

const TODAY: Day = Day::from_days(20_785); // 2026-11-28

fn read(asker: Asker<'_>, params: &[(&str, &str)]) -> Result<Question, (String, Fault)> {
    Question::read(asker, params, TODAY).map_err(|unclear| (unclear.param, unclear.why))
}

fn own(params: &[(&str, &str)]) -> Result<Question, (String, Fault)> {
    read(Asker::Tenant("acme"), params)
}

fn row(session: &str, cost: i64) -> Row<'static> {
    let rid = RequestId::from_bits(1);
    let at = Timestamp::from_micros(0);
    Row {
        cost: Usd::from_nano(cost),
        session: session_hash(session),
        mode: Some(Mode::Cost),
        model: "m",
        provider: "p",
        key: 7,
        ..Row::new(Kind::Settle, rid, "acme", TODAY, at)
    }
}

#[test]
fn without_a_word_it_is_the_last_thirty_days_by_day() {
    let asked = own(&[]).expect("a question");
    assert_eq!(asked.from.to_string(), "2026-10-30");
    assert_eq!((asked.to, asked.by, asked.most), (TODAY, GroupBy::Day, 1_000));
    let since = own(&[("from", "2026-11-02")]).expect("a question");
    assert_eq!((since.from.to_string().as_str(), since.to), ("2026-11-02", TODAY));
    let until = own(&[("to", "2026-01-30")]).expect("a question");
    assert_eq!(until.from.to_string(), "2026-01-01");
}

#[test]
fn what_is_no_question_is_named() {
    let wrong = [
        ("from", "yesterday", Fault::Bad("no UTC day, YYYY-MM-DD")),
        ("from", "2026-02-30", Fault::Bad("no UTC day, YYYY-MM-DD")),
        ("mode", "cheap", Fault::Bad("none of cost, quality, speed, balanced")),
        ("limit", "0", Fault::Bad("no number from 1 to 1000")),
        ("limit", "1001", Fault::Bad("no number from 1 to 1000")),
        ("session", "xyz", Fault::Bad("not the sixteen hex digits that a bucket shows")),
        ("days", "3", Fault::Unknown),
        ("tenant", "globex", Fault::Unknown),
    ];
    for (name, value, fault) in wrong {
        assert_eq!(own(&[(name, value)]), Err((name.to_owned(), fault)), "{name}={value}");
    }
    let twice = own(&[("model", "a"), ("model", "b")]);
    assert_eq!(twice, Err(("model".to_owned(), Fault::Twice)));
    let mut days = [("from", "2025-11-28"), ("to", "2026-11-28")];
    assert!(own(&days).is_ok(), "366 days");
    days[0].1 = "2025-11-27";
    assert!(own(&days).is_err(), "367 days");
    assert!(own(&[("from", "2026-11-29"), ("to", "2026-11-28")]).is_err());
    assert!(own(&[("from", "9999-12-31"), ("to", "0000-01-01")]).is_err());
}

#[test]
fn a_tenant_asks_for_itself_and_the_operator_for_anyone() {
    let asked = own(&[]).expect("a question");
    assert_eq!(asked.only.tenant.as_deref(), Some("acme"));
    let all = read(Asker::Operator, &[]).expect("a question");
    assert_eq!(all.only.tenant, None);
    let one = read(Asker::Operator, &[("tenant", "globex")]).expect("a question");
    assert_eq!(one.only.tenant.as_deref(), Some("globex"));
}

#[test]
fn every_filter_admits_its_own_rows_and_no_others() {
    let stranger = Row {
        mode: Some(Mode::Speed),
        model: "n",
        provider: "q",
        key: 8,
        session: session_hash("sess_other"),
        ..row("", 1)
    };
    let hash = format!("{:016x}", session_hash("sess_xyz"));
    for filter in [
        ("session_id", "sess_xyz"),
        ("session", hash.as_str()),
        ("model", "m"),
        ("provider", "p"),
        ("mode", "cost"),
        ("key", "0000000000000007"),
    ] {
        let asked = own(&[filter]).expect("a question");
        assert!(asked.admits(&row("sess_xyz", 1)), "{filter:?}");
        assert!(!asked.admits(&stranger), "{filter:?}");
        let of_another = Row { tenant: "globex", ..row("sess_xyz", 1) };
        assert!(!asked.admits(&of_another), "{filter:?}");
        let before = Row { day: Day::from_days(TODAY.days() - 30), ..row("sess_xyz", 1) };
        assert!(!asked.admits(&before), "{filter:?}");
    }
}

#[test]
fn an_answer_reads_as_published() {
    let asked = own(&[("group_by", "mode")]).expect("a question");
    let mut tally = Tally::new(asked.by, asked.most);
    let flags = Flags::STREAM.with(Flags::ESTIMATED);
    let wasted = Usd::from_nano(5);
    tally.push(&Row { flags, wasted, direct: Usd::from_nano(40), ..row("", 1_250) });
    let text = String::from_utf8(usage_json(&asked, &tally.finish(), None)).expect("text");
    let sums = "\"requests\":1,\"cached\":0,\"input_tokens\":0,\"cached_tokens\":0,\
        \"output_tokens\":0,\"reasoning_tokens\":0,\"cost_usd\":0.00000125,\
        \"direct_cost\":0.00000004,\"savings\":-0.00000121,\"wasted_usd\":0.000000005,\
        \"flags\":{\"estimated\":1,\"stream\":1}";
    assert_eq!(
        text,
        format!(
            "{{\"object\":\"usage\",\"from\":\"2026-10-30\",\"to\":\"2026-11-28\",\
             \"group_by\":\"mode\",\"tenant_id\":\"acme\",\
             \"data\":[{{\"bucket\":\"cost\",{sums}}}],\"total\":{{{sums}}},\
             \"has_more\":false,\"limits\":null}}"
        )
    );
}

#[test]
fn an_unclear_question_is_an_error_with_its_parameter() {
    let unclear = Question::read(Asker::Tenant("a"), &[("dayz", "1")], TODAY).expect_err("unclear");
    let error = ApiError::from(unclear);
    assert_eq!((error.status(), error.code_text()), (400, Some("unsupported_parameter")));
    assert_eq!(error.param.as_deref(), Some("dayz"));
    assert!(error.message.contains("session_id"), "{}", error.message);
}

proptest! {
    /// However rows are split between an index and what lies beyond it, each told bucket is whole,
    /// the told ones are the dearest, and the total is everything.
    #[test]
    fn told_buckets_are_whole_and_dearest(
        costs in proptest::collection::vec((0_u8..40, 0_i64..50, any::<bool>()), 0..200),
        most in 1_usize..12,
    ) {
        let mut whole = std::collections::BTreeMap::<String, i64>::new();
        let mut indexed = std::collections::BTreeMap::<String, i64>::new();
        let mut tally = Tally::new(GroupBy::Session, most);
        for (session, cost, in_index) in &costs {
            let told = row(&format!("s{session}"), *cost);
            let bucket = GroupBy::Session.bucket(&told);
            *whole.entry(bucket.clone()).or_default() += cost;
            if *in_index {
                *indexed.entry(bucket).or_default() += cost;
            } else {
                tally.push(&told);
            }
        }
        for (bucket, cost) in indexed {
            tally.add(bucket, &Sums { cost: Usd::from_nano(cost), ..Sums::default() });
        }
        let used = tally.finish();
        prop_assert_eq!(used.total.cost.nano(), costs.iter().map(|(_, cost, _)| cost).sum::<i64>());
        let mut dearest: Vec<(i64, String)> =
            whole.into_iter().map(|(bucket, cost)| (-cost, bucket)).collect();
        dearest.sort();
        prop_assert_eq!(used.has_more, dearest.len() > most);
        dearest.truncate(most);
        let mut told: Vec<(i64, String)> =
            used.buckets.iter().map(|(name, sums)| (-sums.cost.nano(), name.clone())).collect();
        told.sort();
        prop_assert_eq!(told, dearest);
    }
}
