//! Lets a tenant see, judge and take back what the cache keeps of it.
//! Does not serve or store answers, and shows nobody another tenant's.

use crate::gateway::Gateway;
use crate::hit::entry_of;
use crate::inquiry::{Inquirer, tell_booked};
use crate::records::Told;
use crate::store::answers::{Answers, Purge};
use p402_core::id::RequestId;
use p402_core::reply::{ApiError, Code};
use p402_core::time::Timestamp;
use serde::Deserialize;
use serde_json::json;

const COMMENT_CHARS_MAX: usize = 1_000;
const SECOND_US: i64 = 1_000_000;

/// What a client says of an answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opinion {
    request_id: String,
    score: f64,
    /// Read so that a mistyped one is told; nothing is learnt from it yet.
    #[serde(default)]
    task: Option<String>,
    #[serde(default)]
    comment: Option<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// The entry that answered is gone.
    Cache,
    Ignored(&'static str),
}

impl Gateway {
    /// The body of `GET /cache`: what of this node's answers is the tenant's.
    ///
    /// # Errors
    /// A gateway that serves nothing keeps nothing.
    pub fn cache_stats(&self, tenant: &str) -> Result<Vec<u8>, ApiError> {
        let answers = self.answers()?;
        let own = answers.fill_of(tenant);
        let checks = self.node.checks.told(tenant);
        let (entries, bytes) = (own.entries, own.bytes);
        let told = json!({"object": "cache", "entries": entries, "bytes": bytes, "checks": checks});
        Ok(told.to_string().into_bytes())
    }

    /// `DELETE /cache/{entry}`.
    ///
    /// # Errors
    /// 404 where the tenant has no such entry, whoever else has.
    pub async fn forget(&self, tenant: &str, entry: &str) -> Result<(), ApiError> {
        let answers = self.answers()?;
        let purge = Purge {
            tenant: Some(tenant.to_owned()),
            // What is no id is looked for all the same: as long as one that is not there.
            entry: Some(entry_of(entry).unwrap_or_default()),
            ..Purge::default()
        };
        if taken(answers, &purge).await? > 0 {
            return Ok(());
        }
        let text = "no entry of yours has this id";
        Err(ApiError::new(Code::CacheEntryNotFound, text).with_param("entry"))
    }

    /// `DELETE /cache`: all of a tenant's, or those of a model, or those older than so many
    /// seconds; how many went.
    ///
    /// # Errors
    /// A gateway that serves nothing keeps nothing.
    pub async fn purge(
        &self,
        tenant: &str,
        model: Option<String>,
        older_than_s: Option<u64>,
    ) -> Result<usize, ApiError> {
        let answers = self.answers()?;
        let now_us = self.node.clock.now().utc.micros();
        let before = older_than_s.map(|age_s| {
            let age_us = i64::try_from(age_s).unwrap_or(i64::MAX).saturating_mul(SECOND_US);
            Timestamp::from_micros(now_us.saturating_sub(age_us))
        });
        let purge = Purge { tenant: Some(tenant.to_owned()), entry: None, model, before };
        taken(answers, &purge).await
    }

    /// `POST /feedback`. Waits for the ledger: not for a thread that serves.
    ///
    /// # Errors
    /// It is no feedback, or no request of the tenant's.
    pub async fn feedback(&self, tenant: &str, body: &[u8]) -> Result<Vec<u8>, ApiError> {
        let opinion = opinion(body)?;
        let effect = self.heed(tenant, &opinion).await?;
        let (word, reason) = match effect {
            Effect::Cache => ("cache", "the cached answer is gone"),
            Effect::Ignored(why) => ("ignored", why),
        };
        let told = json!({"accepted": true, "effect": word, "reason": reason});
        Ok(told.to_string().into_bytes())
    }

    async fn heed(&self, tenant: &str, opinion: &Opinion) -> Result<Effect, ApiError> {
        let unknown = || {
            let text = "no request of yours has this id";
            ApiError::new(Code::RequestNotFound, text).with_param("request_id")
        };
        let id = RequestId::parse(&opinion.request_id).ok_or_else(unknown)?;
        let served = self.node.records.lock().get(id, tenant).map(|row| row.told.clone());
        let Some(told) = served else {
            // Another node, or an earlier life, may have served it.
            let by = Inquirer { tenant: Some(tenant.into()), problem: false };
            tell_booked(&self.node, &by, &opinion.request_id).await?;
            return Ok(Effect::Ignored("this node does not remember how it answered"));
        };
        let Some(Told { entry, pair }) = told else {
            return Ok(Effect::Ignored("this release learns from answers of the cache alone"));
        };
        if opinion.score >= 0.0 {
            return Ok(Effect::Ignored("an answer of the cache that was liked stays"));
        }
        let purge =
            Purge { tenant: Some(tenant.to_owned()), entry: Some(entry), ..Purge::default() };
        let answers = self.answers()?;
        if taken(answers, &purge).await? == 0 {
            return Ok(Effect::Ignored("the cached answer was gone already"));
        }
        if let Some((asked, kept)) = pair {
            answers.note_wrong(&asked, &kept);
        }
        Ok(Effect::Cache)
    }

    fn answers(&self) -> Result<&Answers, ApiError> {
        Ok(&self.node.home()?.answers)
    }
}

/// How many went; where their home does not confirm it, nobody must believe that they are gone.
async fn taken(answers: &Answers, purge: &Purge) -> Result<usize, ApiError> {
    answers.purge(purge).await.map_err(|_| {
        let text = "the cache's store has not confirmed it: this gateway serves it no more, others \
                    may; ask again";
        ApiError::new(Code::CacheUnavailable, text).with_retry_after_ms(1_000)
    })
}

fn opinion(body: &[u8]) -> Result<Opinion, ApiError> {
    let opinion: Opinion = serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { Code::InvalidValue } else { Code::InvalidJson };
        let told = error.to_string();
        let what = told.split(" at line").next().unwrap_or_default();
        let rule = "a request_id, a score from -1 to 1, and perhaps task and comment";
        ApiError::new(code, format!("feedback is {rule}: {what}"))
    })?;
    let bad = |param: &str, rule: &str| {
        Err(ApiError::new(Code::InvalidValue, format!("`{param}` must be {rule}"))
            .with_param(param))
    };
    if !(-1.0..=1.0).contains(&opinion.score) {
        return bad("score", "a number from -1 to 1");
    }
    let task = opinion.task.as_deref();
    if task.is_some_and(|task| p402_core::catalog::Task::parse(task).is_none()) {
        return bad("task", "one of the nine tasks");
    }
    let long = |text: &String| text.chars().count() > COMMENT_CHARS_MAX;
    if opinion.comment.as_ref().is_some_and(long) {
        return bad("comment", "at most 1000 characters");
    }
    Ok(opinion)
}
