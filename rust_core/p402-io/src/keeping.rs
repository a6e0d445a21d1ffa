//! Stores an answer once it is settled and delivered, off the path: nobody waits for it but equals.
//! Does not decide which answers are fit (core's policy.rs) nor for how many there is room.

use crate::looked::Shelve;
use crate::settling::{Settled, Settling};
use crate::store::answers::Brought;
use crate::turn::{Served, Turn, name};
use bytes::Bytes;
use p402_core::cache::kept::Kept;
use p402_core::cache::policy::{self, Answer, Unstored, storable};
use p402_core::cache::shelf::Entry;
use p402_core::dialect::openai::{Plain, plain};
use p402_core::time::Timestamp;
use p402_core::usage::Usage;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a stream that are copied for it: its text is bounded much lower.
const COPY_BYTES_MAX: usize = 4 << 20;
/// The encoder may take its time: no client waits.
const EMBED_WAIT: Duration = Duration::from_secs(5);
const SECOND_US: i64 = 1_000_000;

/// What a client is given of a stream, copied as far as it may be stored.
#[derive(Debug, Default)]
pub struct Copied(Option<Vec<u8>>);

/// An answer as its client got it: a body, or all frames of a stream to its `[DONE]`.
struct Delivered {
    bytes: Vec<u8>,
    usage: Usage,
    believed: bool,
    took_ms: u64,
}

impl Copied {
    pub fn of(shelve: Option<&Shelve>) -> Self {
        Self(shelve.map(|_| Vec::new()))
    }

    /// More has left; beyond the bound nothing is kept of it.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.take_if(|copy| copy.len() + bytes.len() > COPY_BYTES_MAX);
        if let Some(copy) = &mut self.0 {
            copy.extend_from_slice(bytes);
        }
    }

    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.0.take()
    }
}

/// Stores a delivered answer in a task of its own, if it is fit to be told again.
pub fn keep(settling: &mut Settling, served: &Served, bytes: Option<Vec<u8>>, settled: &Settled) {
    let Some((bytes, shelve)) = bytes.zip(settling.shelve.take()) else { return };
    let (turn, offer) = (Arc::clone(&settling.turn), served.offer);
    let Ok(place) = Arc::clone(&turn.node.keeping).try_acquire_owned() else {
        turn.home.answers.meter.unstored(Unstored::Quota);
        return;
    };
    let (usage, believed) = (settled.usage, settled.believed);
    let delivered = Delivered { bytes, usage, believed, took_ms: settling.provider_us / 1_000 };
    tokio::spawn(async move {
        let _place = place;
        if let Err(why) = store(&turn, shelve, offer, &delivered).await {
            turn.home.answers.meter.unstored(why);
        }
    });
}

async fn store(
    turn: &Turn,
    shelve: Shelve,
    offer: usize,
    delivered: &Delivered,
) -> Result<(), Unstored> {
    let told = plain(&delivered.bytes).map_err(|_| Unstored::Cut)?;
    storable(&facts(&told, delivered))?;
    let (provider, model) = name(&turn.world.catalog, offer);
    let confirmed = shelve.unconfirmed.as_ref().is_some_and(|other| other.agrees(&told.content));
    let kept = Kept {
        asker: (!confirmed).then_some(shelve.asker),
        provider: provider.to_string(),
        model: model.to_string(),
        named: told.model,
        content: told.content,
        reasoning: told.reasoning,
        usage: delivered.usage,
        service_tier: None,
        took_ms: delivered.took_ms,
    };
    let (now, rules) = (turn.node.clock.now().utc, &turn.rules().cache);
    let Shelve { key, ttl_s, leader, .. } = shelve;
    let question = key.asked.as_ref().map_or("", |(text, _)| text);
    let ttl_s = policy::ttl_s(question, Some(ttl_s), rules.ttl_max_s);
    let life_us = i64::try_from(ttl_s).unwrap_or(i64::MAX).saturating_mul(SECOND_US);
    let answers = &turn.home.answers;
    let entry = Entry {
        id: answers.draw(),
        tenant: Arc::clone(&turn.tenant),
        scope: key.scope,
        exact: key.exact,
        asked: key.asked.map(|(text, canonical)| (text.into(), canonical)),
        vector: None,
        model,
        answer: Bytes::from(kept.pack()),
        created: now,
        expires: Timestamp::from_micros(now.micros().saturating_add(life_us)),
    };
    let brought = Brought { key: turn.key, per_hour: rules.stores_per_hour };
    answers.keep(&entry, brought, now).await?;
    // From here on it is there for its bytes, and whoever waits for them can have it.
    drop(leader);
    let (Some((text, _)), Some(embedder)) = (&entry.asked, turn.node.embedder.get()) else {
        return Ok(());
    };
    let Ok(_place) = turn.node.embedding.acquire().await else { return Ok(()) };
    if let Ok(vector) = embedder.embed(&turn.tenant, text, EMBED_WAIT).await {
        answers.attach(&entry, vector, now).await;
    }
    Ok(())
}

fn facts<'a>(told: &Plain, delivered: &Delivered) -> Answer<'a> {
    Answer {
        finish_reason: told.finish_reason,
        text_bytes: told.content.len(),
        choices: told.choices,
        tool_calls: told.tool_calls,
        refused: told.refused,
        extras: told.extras,
        // What is not whole has not been read.
        complete: true,
        implausible: !delivered.believed,
    }
}
