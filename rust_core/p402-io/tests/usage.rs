//! What was used, out of the journal and the index, against a plain addition of the same rows.

#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

mod books;

use books::{DAY, now, open, quick_folder, row, until};
use p402_core::ledger::{
    Asker, Flags, GroupBy, Kind, Only, Question, Replay, Row, Tally, session_hash,
};
use p402_core::money::Usd;
use p402_core::route::Mode;
use p402_core::time::Day;
use p402_io::ledger::{Books, IndexError, Ledger, Options};
use std::time::{Duration, Instant};

const TENANTS: [&str; 3] = ["acme", "globex", "a name that is longer than a row has room for it"];
const KINDS: [Kind; 5] = [Kind::Dispatch, Kind::Settle, Kind::Release, Kind::Adjust, Kind::Extend];

/// A row whose every part depends on its number, requests ending twice now and then.
fn varied(n: u64) -> Row<'static> {
    let flags = Flags::NAMES.iter().enumerate();
    let flags = flags.filter(|(at, _)| n >> at & 3 == 3);
    let flags = flags.fold(Flags::default(), |all, (_, (flag, _))| all.with(*flag));
    Row {
        tenant: TENANTS[(n % 3) as usize],
        provider: ["p", "q"][(n / 2 % 2) as usize],
        model: ["m", "n", "o\"p"][(n / 3 % 3) as usize],
        mode: [None, Some(Mode::Cost), Some(Mode::Speed)][(n / 5 % 3) as usize],
        session: [0, session_hash("sess_xyz"), u64::MAX][(n / 7 % 3) as usize],
        key: n / 11 % 2,
        day: Day::from_days(DAY.days() + (n % 4) as i32),
        attempt: (n % 5) as u8,
        cost: Usd::from_nano(n as i64 * 7),
        direct: Usd::from_nano(n as i64 * 11),
        wasted: Usd::from_nano(n as i64 % 13),
        input_tokens: n,
        cached_tokens: n / 2,
        output_tokens: n / 3,
        reasoning_tokens: n / 4,
        flags,
        ..row(KINDS[(n % 5) as usize], u128::from(n / 3))
    }
}

/// The same by plain addition.
fn added(rows: &[Row<'_>], question: &Question) -> String {
    let mut tally = Tally::new(question.by, question.most);
    let mut seen = Replay::default();
    for row in rows {
        if seen.push(row) && question.admits(row) {
            tally.push(row);
        }
    }
    tally.finish().members()
}

/// The n-th question: every filter set in some of them, and every way of grouping.
fn question(n: u64) -> Question {
    // An odd multiplier spreads the digits of `n` over all that is drawn from it.
    let drawn = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let draw = |at: u32, of: u64| drawn.rotate_left(at * 9) % of;
    let from = Day::from_days(DAY.days() + draw(0, 5) as i32);
    let to = Day::from_days(from.days() + draw(1, 5) as i32);
    let asker = TENANTS.get(draw(2, 4) as usize);
    let asker = asker.map_or(Asker::Operator, |id| Asker::Tenant(id));
    let plain = Question::of(asker, (from, to), GroupBy::ALL[n as usize % GroupBy::ALL.len()]);
    let only = Only {
        provider: (draw(3, 4) == 0).then(|| "p".into()),
        model: (draw(4, 4) == 0).then(|| "o\"p".into()),
        mode: (draw(5, 4) == 0).then_some(Mode::Cost),
        session: (draw(6, 4) == 0).then(|| session_hash("sess_xyz")),
        key: (n.is_multiple_of(4)).then_some(1),
        ..plain.only.clone()
    };
    Question { only, most: 1 + draw(1, 20) as usize, ..plain }
}

/// What is asked of the books is what the rows add up to.
fn agree(books: &mut Books, rows: &[Row<'_>]) {
    // As they are written: long names are shortened there.
    let written: Vec<_> = rows.iter().map(|row| row.encode(row.seq)).collect();
    let rows: Vec<_> = written.iter().map(|row| Row::decode(row).expect("a row")).collect();
    let mut whole = 0;
    for question in (0..150).map(question) {
        let told = books.usage(&question).expect("an answer").members();
        assert_eq!(told, added(&rows, &question), "{question:?}");
        whole += usize::from(told.contains("\"bucket\":"));
    }
    assert!(whole > 50, "{whole} answers say something");
}

#[test]
fn an_answer_is_what_its_rows_add_up_to_wherever_they_are() {
    let folder = quick_folder();
    let ledger = open(folder.path());
    let rows: Vec<Row<'_>> = (0..1_500).map(varied).collect();
    for row in &rows[..900] {
        ledger.append(row).map(drop).expect("a row");
    }
    until("indexed", || ledger.index_state().indexed == 900);
    let mut books = ledger.books().expect("books");
    agree(&mut books, &rows[..900]);
    for row in &rows[900..] {
        ledger.append(row).map(drop).expect("a row");
    }
    // Part of it is in the journal alone, part moves while it is being asked.
    agree(&mut books, &rows);
    until("indexed", || ledger.index_state().indexed == 1_500);
    agree(&mut books, &rows);
}

#[test]
fn an_index_of_an_earlier_release_is_added_up_at_the_first_start() {
    let folder = quick_folder();
    let rows: Vec<Row<'_>> = (0..600).map(varied).collect();
    let ledger = open(folder.path());
    for row in &rows {
        ledger.append(row).map(drop).expect("a row");
    }
    until("indexed", || ledger.index_state().indexed == 600);
    drop(ledger);
    let database = rusqlite::Connection::open(folder.path().join("ledger.sqlite")).expect("a file");
    let marks = "ALTER TABLE ledger_usage DROP COLUMN shadow;";
    let mut books = None;
    for older in ["DROP TABLE ledger_usage;", marks] {
        drop(books.take());
        let forgotten = format!("{older} DELETE FROM ledger_facts WHERE name LIKE 'usage%';");
        database.execute_batch(&forgotten).expect("an older index");
        // What is open stays so: the rows are those that were written.
        let options = Options { end_open: false, ..Options::new(folder.path()) };
        let ledger = Ledger::open(&options, now()).expect("the ledger opens");
        let mut opened = ledger.books().expect("books");
        agree(&mut opened, &rows);
        assert_eq!(opened.audit().expect("an audit").usage_wrong, 0);
        books = Some((opened, ledger));
    }
    let (mut books, _ledger) = books.expect("books");
    let grown = "UPDATE ledger_usage SET cost_nano = cost_nano + 1 WHERE tenant = 'acme'";
    assert!(database.execute(grown, []).expect("lines") > 0);
    assert!(!books.audit().expect("an audit").is_clean(), "one nano-dollar is seen");
}

#[test]
fn an_answer_that_would_be_late_is_none_and_the_next_one_comes() {
    let folder = quick_folder();
    let ledger = open(folder.path());
    for n in 0..20_000 {
        ledger.append(&varied(n)).map(drop).expect("a row");
    }
    let mut books = ledger.books().expect("books");
    let asked = Question::of(Asker::Operator, (DAY, Day::from_days(DAY.days() + 9)), GroupBy::Day);
    books.hurry(Instant::now());
    assert_eq!(books.usage(&asked), Err(IndexError::Late), "rows of the journal are read");
    until("indexed", || ledger.index_state().indexed == 20_000);
    books.hurry(Instant::now());
    assert_eq!(books.usage(&asked), Err(IndexError::Late), "a statement is run");
    books.hurry(Instant::now() + Duration::from_mins(1));
    assert_eq!(books.usage(&asked).expect("an answer").buckets.len(), 4);
}
