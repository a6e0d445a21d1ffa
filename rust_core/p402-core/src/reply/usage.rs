//! Decides how `GET /usage` reads: the question as it was understood, sums, what is left.
//! Does not add anything up (ledger/) and does not ask an account.

use super::code::Code;
use super::error::ApiError;
use super::json;
use super::standing::Standing;
use crate::guard::{Limits, Reply};
use crate::ledger::{Fault, Question, Unclear, Used};
use crate::money::Usd;
use crate::time::{Day, Timestamp};

/// An account's last answer, by which limits, read when.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    pub reply: &'a Reply,
    pub limits: &'a Limits,
    pub now: Timestamp,
}

/// The body of `GET /usage`; `left` is absent where nobody's account was asked, or none answered.
pub fn usage_json(question: &Question, used: &Used, left: Option<&Left<'_>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    out.push(b'{');
    json::text_member(&mut out, "object", "usage");
    json::text_member(&mut out, "from", &question.from.to_string());
    json::text_member(&mut out, "to", &question.to.to_string());
    json::text_member(&mut out, "group_by", question.by.name());
    json::optional_member(&mut out, "tenant_id", question.only.tenant.as_deref());
    out.push(b',');
    out.extend_from_slice(used.members().as_bytes());
    json::key(&mut out, "limits");
    match left {
        Some(left) => left.write(&mut out),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    out
}

impl Left<'_> {
    /// Each layer that keeps a balance, with what it has left.
    fn write(&self, out: &mut Vec<u8>) {
        let Self { reply, limits, now } = *self;
        let standing = Standing::of(reply, limits, now);
        out.push(b'{');
        json::key(out, "rate");
        out.push(b'{');
        json::member(out, "limit", limits.rate.limit);
        json::member(out, "window_s", limits.rate.per_s);
        json::member(out, "remaining", standing.remaining);
        json::member(out, "reset_s", standing.reset_s);
        out.push(b'}');
        json::key(out, "daily");
        let today = now.utc_day() <= reply.day;
        let of_today = |amount| if today { amount } else { Usd::ZERO };
        let amounts = [
            ("limit_usd", limits.daily_cap),
            ("spent_usd", of_today(reply.day_spent)),
            ("held_usd", of_today(reply.day_held)),
            ("remaining_usd", standing.daily),
        ];
        let day = reply.day.max(now.utc_day());
        money(out, &amounts, Some(Day::from_days(day.days().saturating_add(1))));
        json::key(out, "concurrency");
        out.push(b'{');
        json::member(out, "limit", limits.in_flight_max);
        json::member(out, "in_flight", reply.in_flight);
        json::member(out, "remaining", (limits.in_flight_max - reply.in_flight).max(0));
        out.push(b'}');
        json::key(out, "budget");
        match limits.budget.zip(standing.budget) {
            Some((budget, left)) => {
                let amounts = [
                    ("limit_usd", budget),
                    ("spent_usd", reply.budget_spent),
                    ("held_usd", reply.held),
                    ("remaining_usd", left),
                ];
                money(out, &amounts, limits.period.end(reply.day));
            }
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
}

fn money(out: &mut Vec<u8>, amounts: &[(&str, Usd)], until: Option<Day>) {
    out.push(b'{');
    for (name, amount) in amounts {
        json::member(out, name, amount);
    }
    let until = until.map(|day| day.start().to_rfc3339());
    json::optional_member(out, "resets_at", until.as_deref());
    out.push(b'}');
}

impl From<Unclear> for ApiError {
    fn from(unclear: Unclear) -> Self {
        let code = match unclear.why {
            Fault::Unknown => Code::UnsupportedParameter,
            Fault::Twice => Code::DuplicateField,
            Fault::Bad(_) => Code::InvalidValue,
        };
        Self::new(code, unclear.to_string()).with_param(unclear.param)
    }
}
