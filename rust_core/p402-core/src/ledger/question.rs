//! Decides what may be asked about spending: days, a bucket, filters; and what is wrong with it.
//! Does not answer: an index and the rows beyond it do.

use super::name::{
    MODEL_BYTES_MAX, PROVIDER_BYTES_MAX, TENANT_BYTES_MAX, session_hash, short_name,
};
use super::row::Row;
use super::tally::GroupBy;
use crate::route::Mode;
use crate::time::Day;

/// Days of one question: a leap year.
pub const DAYS_MAX: i32 = 366;
/// Buckets of one answer; what they leave out is in the totals.
pub const BUCKETS_MAX: usize = 1_000;
/// Days of a question that names none.
const DAYS: i32 = 30;
/// Parameters of one question.
const PARAMS_MAX: usize = 16;

/// What is asked: the ended requests of some days, by bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// UTC days of admission, both included.
    pub from: Day,
    pub to: Day,
    pub by: GroupBy,
    /// The dearest buckets that are told.
    pub most: usize,
    pub only: Only,
}

/// Which requests count, as rows hold their names; `None` is no matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    pub tenant: Option<Box<str>>,
    pub provider: Option<Box<str>>,
    pub model: Option<Box<str>>,
    pub mode: Option<Mode>,
    pub session: Option<u64>,
    pub key: Option<u64>,
}

/// Whose spending may be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker<'a> {
    /// Its own, and no parameter names another.
    Tenant(&'a str),
    /// Everybody's, or one tenant's.
    Operator,
}

/// A parameter that is no question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclear {
    pub param: String,
    pub why: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Unknown,
    Twice,
    Bad(&'static str),
}

const PARAMS: &str = "from, to, group_by, model, provider, mode, session_id, session, key, limit";

impl Question {
    /// Everything of these days, by bucket.
    pub fn of(asker: Asker<'_>, (from, to): (Day, Day), by: GroupBy) -> Self {
        let tenant = match asker {
            Asker::Tenant(id) => Some(short_name(id, TENANT_BYTES_MAX).into()),
            Asker::Operator => None,
        };
        Self { from, to, by, most: BUCKETS_MAX, only: Only { tenant, ..Only::default() } }
    }

    /// Reads the parameters of a URL; the days that end `today` where none are named.
    ///
    /// # Errors
    /// The first parameter that is unknown, told twice, or says nothing.
    pub fn read<N: AsRef<str>, V: AsRef<str>>(
        asker: Asker<'_>,
        params: &[(N, V)],
        today: Day,
    ) -> Result<Self, Unclear> {
        let mut asked = Self::of(asker, (today, today), GroupBy::Day);
        let (mut from, mut to) = (None, None);
        for (at, (name, value)) in params.iter().enumerate() {
            let (name, value) = (name.as_ref(), value.as_ref());
            let unclear = |why| Unclear { param: name.to_owned(), why };
            if at == PARAMS_MAX || params[..at].iter().any(|(other, _)| other.as_ref() == name) {
                return Err(unclear(Fault::Twice));
            }
            match name {
                "from" => from = Some(day(value).map_err(unclear)?),
                "to" => to = Some(day(value).map_err(unclear)?),
                "tenant" if asker == Asker::Operator => {
                    asked.only.tenant = Some(short_name(value, TENANT_BYTES_MAX).into());
                }
                _ => asked.set(name, value).map_err(unclear)?,
            }
        }
        asked.to = to.unwrap_or(from.map_or(today, |from| today.max(from)));
        asked.from = from.unwrap_or(Day::from_days(asked.to.days().saturating_sub(DAYS - 1)));
        asked.bounded()
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let only = &mut self.only;
        match name {
            "group_by" => self.by = GroupBy::parse(value).ok_or(Fault::Bad(GroupBy::WORDS))?,
            "model" => only.model = Some(short_name(value, MODEL_BYTES_MAX).into()),
            "provider" => only.provider = Some(short_name(value, PROVIDER_BYTES_MAX).into()),
            "mode" => only.mode = Some(mode(value)?),
            "session_id" => only.session = Some(session_hash(value)),
            "session" => only.session = Some(hash(value)?),
            "key" => only.key = Some(hash(value)?),
            "limit" => self.most = limit(value)?,
            _ => return Err(Fault::Unknown),
        }
        Ok(())
    }

    fn bounded(self) -> Result<Self, Unclear> {
        let days = i64::from(self.to.days()) - i64::from(self.from.days()) + 1;
        let unclear = |why| Err(Unclear { param: "from".to_owned(), why: Fault::Bad(why) });
        match days {
            ..=0 => unclear("`from` is a day after `to`"),
            1..=366 => Ok(self),
            _ => unclear("more than 366 days lie between `from` and `to`"),
        }
    }

    /// Whether this row is one that is asked about.
    pub fn admits(&self, row: &Row<'_>) -> bool {
        let only = &self.only;
        let same = |wanted: &Option<Box<str>>, name| wanted.as_deref().is_none_or(|it| it == name);
        (self.from..=self.to).contains(&row.day)
            && same(&only.tenant, row.tenant)
            && same(&only.provider, row.provider)
            && same(&only.model, row.model)
            && only.mode.is_none_or(|mode| row.mode == Some(mode))
            && only.session.is_none_or(|session| row.session == session)
            && only.key.is_none_or(|key| row.key == key)
    }
}

impl std::fmt::Display for Unclear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.param;
        match self.why {
            Fault::Unknown => write!(f, "`{name}` is none of the parameters {PARAMS}"),
            Fault::Twice => write!(f, "`{name}` is one parameter too many: each stands once"),
            Fault::Bad(why) => write!(f, "`{name}`: {why}"),
        }
    }
}

impl std::error::Error for Unclear {}

fn day(text: &str) -> Result<Day, Fault> {
    Day::parse(text).ok_or(Fault::Bad("no UTC day, YYYY-MM-DD"))
}

fn mode(text: &str) -> Result<Mode, Fault> {
    let found = Mode::ALL.into_iter().find(|mode| mode.name() == text);
    found.ok_or(Fault::Bad("none of cost, quality, speed, balanced"))
}

/// As buckets write it.
fn hash(text: &str) -> Result<u64, Fault> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let read = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
    read.ok_or(Fault::Bad("not the sixteen hex digits that a bucket shows"))
}

fn limit(text: &str) -> Result<usize, Fault> {
    let read = text.parse().ok().filter(|most| (1..=BUCKETS_MAX).contains(most));
    read.ok_or(Fault::Bad("no number from 1 to 1000"))
}
