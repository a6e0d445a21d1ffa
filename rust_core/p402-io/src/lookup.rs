//! Asks the node's answers before anything is planned: same bytes, same question, same meaning.
//! Does not serve what it finds (hit.rs). Whatever is late, full or away is a miss, never an error.

use crate::checks::{Doubt, Kind, Length};
use crate::embed::EmbedError;
use crate::flights::Joined;
use crate::looked::{Looked, Shelve};
use crate::node::Node;
use crate::store::StoreError;
use crate::store::answers::Answers;
use crate::world::World;
use p402_core::cache::bound;
use p402_core::cache::index::{Candidate, Wish as Nearest};
use p402_core::cache::judge::{judge, versions};
use p402_core::cache::kept::Kept;
use p402_core::cache::key::{Around, Class, Key, Share, key};
use p402_core::cache::rules::{Asking, Terms, Use};
use p402_core::cache::shelf::Entry;
use p402_core::cache::verdict::{Miss, Tier};
use p402_core::cache::veto::Reading;
use p402_core::cache::wish::Wish;
use p402_core::envelope::Scan;
use p402_core::reply::ApiError;
use p402_core::route::{Ask, Mode, Plan, Sought, words_of};
use p402_core::time::{Now, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// The whole of a lookup by meaning.
const DEADLINE: Duration = Duration::from_millis(20);
/// The encoder's part of it.
const EMBED_WAIT: Duration = Duration::from_millis(15);
const SECOND_US: i64 = 1_000_000;

/// One request, as the cache is asked for it.
pub struct Question<'a> {
    pub node: &'a Node,
    pub world: &'a World,
    pub ask: Ask<'a>,
    pub wish: &'a Wish,
    pub now: Now,
}

/// An answer that may be served.
#[derive(Debug)]
pub struct Hit {
    pub tier: Tier,
    pub entry: Entry,
    pub kept: Kept,
    /// The question, where it is not the one that the answer was given to.
    pub asked: Option<Arc<str>>,
    /// Who gave it, in the catalogue of today.
    pub offer: usize,
    /// Of the question it was asked for, where it is another one.
    pub near: Option<Near>,
    /// It is one of those that are checked.
    pub doubt: Option<Doubt>,
}

/// How near a question was, and what the verifier gave the pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    pub similarity: f32,
    pub score: Option<f32>,
}

/// What a lookup came to.
pub enum Found {
    /// With a plan that has nothing to try.
    Hit(Box<Hit>, Box<Plan>),
    Missed(Looked, Option<Shelve>),
}

/// A scope's question on its way through the steps.
struct Search<'a> {
    question: &'a Question<'a>,
    answers: &'a Answers,
    key: &'a Key,
    terms: Terms<'a>,
    sought: &'a Sought<'a>,
}

impl Found {
    const OFF: Self = Self::Missed(Looked::OFF, None);
    const BARRED: Self = Self::Missed(Looked::barred(), None);
}

/// # Errors
/// The request asks more of the cache than its tenant allows.
pub async fn look(question: &Question<'_>) -> Result<Found, ApiError> {
    let (ask, world) = (&question.ask, question.world);
    let tenant = world.tenant(ask.tenant);
    let user = user_of(ask);
    let terms = match tenant.cache.judge(question.wish, &asking(question, user.as_deref()))? {
        Use::On(terms) => terms,
        Use::Off => return Ok(Found::OFF),
        Use::Barred => return Ok(Found::BARRED),
    };
    let Some(home) = &question.node.home else { return Ok(Found::OFF) };
    let routing = world.routing(ask.tenant);
    // What routing will refuse is refused there, in its own words.
    let Ok(sought) = Sought::read(&routing, ask, &world.config.routing) else {
        return Ok(Found::OFF);
    };
    let Some(key) = key_of(question, &sought, terms.share) else { return Ok(Found::BARRED) };
    let search = Search { question, answers: &home.answers, key: &key, terms, sought: &sought };
    let (hit, looked, leader) = search.run().await;
    let meter = &home.answers.meter;
    meter.took(question.node.clock.now().ticks.since(question.now.ticks));
    if let Some((tier, (entry, kept, offer), by)) = hit {
        let (near, doubt) = by.unzip();
        meter.hit(tier);
        home.answers.hit(entry.id, question.now.utc);
        let asked = key.asked.as_ref().filter(|_| near.is_some());
        let asked = asked.map(|(text, _)| Arc::from(&**text));
        let doubt = doubt.flatten();
        let hit = Hit { tier, entry, kept, asked, offer, near, doubt };
        return Ok(Found::Hit(Box::new(hit), Box::new(sought.into_plan())));
    }
    if let Some(miss) = looked.miss {
        meter.miss(miss);
    }
    let ttl_s = terms.ttl_s.unwrap_or(tenant.cache.ttl_s);
    let shelve = terms.keep.then_some(Shelve { key, ttl_s, leader });
    Ok(Found::Missed(looked, shelve))
}

/// An entry that passed the comparison, what it holds, and the offer that gave it.
type Fit = (Entry, Kept, usize);
/// How near it is, and what is to be checked of it.
type By = (Near, Option<Doubt>);
type Outcome = (Option<(Tier, Fit, Option<By>)>, Looked, Option<crate::flights::Leader>);

impl Search<'_> {
    async fn run(&self) -> Outcome {
        if !self.terms.serve {
            return (None, Looked::missed(Miss::Refresh, None), None);
        }
        if let Some((tier, fit)) = self.same().await {
            return (Some((tier, fit, None)), Looked::OFF, None);
        }
        let mut leader = None;
        // A stream's first token is its client's: it waits for nobody.
        if self.terms.keep && !self.question.ask.scan.stream && is_keepable(self.question.ask.scan)
        {
            match self.question.node.flights.join(self.key.exact) {
                Joined::Leads(leads) => leader = Some(leads),
                Joined::Follows(follower) => {
                    follower.landed().await;
                    if let Some((_, fit)) = self.same().await {
                        return (Some((Tier::Coalesced, fit, None)), Looked::OFF, None);
                    }
                }
                Joined::Alone => {}
            }
        }
        let near = tokio::time::timeout(DEADLINE, self.near()).await;
        match near.unwrap_or(Err((Miss::Deadline, None))) {
            Ok((fit, by)) => (Some((Tier::Semantic, fit, Some(by))), Looked::OFF, None),
            Err((miss, similarity)) => (None, Looked::missed(miss, similarity), leader),
        }
    }

    /// The same bytes, or the same question in another spelling.
    async fn same(&self) -> Option<(Tier, Fit)> {
        let (tier, id) = match self.answers.find(self.key, self.now()) {
            Some(found) => found,
            None => self.answers.recall(self.question.ask.tenant, self.key).await?,
        };
        let entries = self.fetch(&[id]).await.ok()?;
        Some((tier, self.fit(entries.into_iter().next()?)?))
    }

    /// The same meaning: near enough, and nothing speaks against it.
    async fn near(&self) -> Result<(Fit, By), (Miss, Option<f32>)> {
        let missed = |miss| Err((miss, None));
        let Some((text, _)) = &self.key.asked else { return missed(Miss::Empty) };
        let Some(view) = self.answers.view(&self.key.scope) else { return missed(Miss::Empty) };
        // At 1 nothing but the same question will do.
        if self.terms.threshold >= 1.0 {
            return missed(Miss::Similarity);
        }
        let Some(embedder) = self.question.node.embedder.get() else { return missed(Miss::Store) };
        let vector = embedder.embed(self.question.ask.tenant, text, EMBED_WAIT).await;
        let vector = vector.map_err(|error| (miss_of(error), None))?;
        let candidates = view.nearest(&Nearest {
            vector: &vector,
            threshold: self.terms.threshold,
            now: self.now(),
            not_before: self.not_before(),
        });
        self.first_that_passes(text, &candidates).await
    }

    async fn first_that_passes(
        &self,
        text: &str,
        candidates: &[Candidate],
    ) -> Result<(Fit, By), (Miss, Option<f32>)> {
        let Some(first) = candidates.first() else { return Err((Miss::Similarity, None)) };
        let similarity = Some(first.cosine);
        let ids: Vec<u64> = candidates.iter().map(|candidate| candidate.id).collect();
        let entries = self.fetch(&ids).await.map_err(|_| (Miss::Store, similarity))?;
        let asked = Reading::of(text);
        // Where none is what the index says, or none may be told any more.
        let mut why = Miss::Policy;
        for candidate in candidates {
            let entry = entries.iter().find(|entry| entry.id == candidate.id);
            let Some(fit) = entry.and_then(|entry| self.fit(entry.clone())) else { continue };
            let Some((kept, _)) = &fit.0.asked else { continue };
            match judge(&asked, &Reading::of(kept), candidate.cosine) {
                Ok(passed) => {
                    let near = Near { similarity: candidate.cosine, score: passed.score };
                    match self.promised(text, &fit, near) {
                        Ok(doubt) => return Ok((fit, (near, doubt))),
                        Err(_) if candidate != first => {}
                        Err(doubt) => {
                            why = Miss::Verifier;
                            if let Some(doubt) = doubt {
                                self.question.node.checks.wonder(doubt);
                            }
                        }
                    }
                }
                // The nearest one's reason is the one to tell.
                Err(miss) if candidate == first => why = miss,
                Err(_) => {}
            }
        }
        Err((why, similarity))
    }

    /// Whether the tenant's promise lets a pair be served that passed, and what is to be checked
    /// of it: of what is served a share, of what the next looser place would serve the same.
    fn promised(
        &self,
        text: &str,
        (_, kept, _): &Fit,
        near: Near,
    ) -> Result<Option<Doubt>, Option<Doubt>> {
        let (node, ask) = (self.question.node, &self.question.ask);
        let promise = &self.question.world.tenant(ask.tenant).cache.promise;
        let place = near.score.and_then(bound::place);
        let (Some(_), Some(place)) = (promise.delta, place) else { return Ok(None) };
        let length = Length::of(text);
        let kind = Kind { tenant: ask.tenant.into(), mode: self.sought.mode(), length };
        let (served, tried) = node.checks.places(&kind);
        let drawn = place <= tried && bound::sampled(ask.request.bits(), promise.rate);
        let doubt = drawn.then(|| Doubt {
            kind,
            place,
            body: ask.body.to_vec(),
            question: text.to_owned(),
            offer: format!("{}/{}", kept.provider, kept.model),
            told: kept.content.clone(),
        });
        if place <= served { Ok(doubt) } else { Err(doubt) }
    }

    /// The entries as they are now, where they are still what the index says of them.
    async fn fetch(&self, ids: &[u64]) -> Result<Vec<Entry>, StoreError> {
        let whose = (self.question.ask.tenant, &self.key.scope);
        self.answers.fetch(ids, whose, (self.now(), self.not_before())).await
    }

    /// What an entry holds, if its giver is still one that this request may have.
    fn fit(&self, entry: Entry) -> Option<Fit> {
        let kept = Kept::unpack(&entry.answer)?;
        let offer = self.question.world.offer(&kept.provider, &kept.model)?;
        self.sought.takes(offer).then_some((entry, kept, offer))
    }

    /// Taken anew: who has waited for a leader is later than it was.
    fn now(&self) -> Timestamp {
        self.question.node.clock.now().utc
    }

    fn not_before(&self) -> Timestamp {
        let age_s = self.terms.max_age_s.and_then(|age_s| i64::try_from(age_s).ok());
        let age_us = age_s.map(|age_s| age_s.saturating_mul(SECOND_US));
        let now_us = self.now().micros();
        Timestamp::from_micros(age_us.map_or(i64::MIN, |age_us| now_us.saturating_sub(age_us)))
    }
}

/// Whether `look` would ask at all; for a dry run.
///
/// # Errors
/// As `look`.
pub fn would_look(question: &Question<'_>) -> Result<bool, ApiError> {
    let (cache, user) = (&question.world.tenant(question.ask.tenant).cache, user_of(&question.ask));
    let terms = cache.judge(question.wish, &asking(question, user.as_deref()))?;
    Ok(matches!(terms, Use::On(terms) if terms.serve))
}

/// What the cache's rules ask of a request.
fn asking<'a>(question: &'a Question<'_>, user: Option<&'a str>) -> Asking<'a> {
    let (ask, tenant) = (&question.ask, question.world.tenant(question.ask.tenant));
    Asking {
        cost_mode: ask.options.mode.unwrap_or(tenant.rules.mode) == Mode::Cost,
        temperature_tenths: ask.scan.temperature_tenths,
        user,
        session: ask.options.session_id.as_deref(),
    }
}

fn key_of(question: &Question<'_>, sought: &Sought<'_>, share: Share<'_>) -> Option<Key> {
    let ask = &question.ask;
    if !is_keepable(ask.scan) {
        return None;
    }
    let (pinned, options) = (sought.pinned(), ask.options);
    let (models, providers) = (words_of(&options.models), words_of(&options.providers));
    let class = match &pinned {
        Some(model) => Class::Pinned(model),
        None => Class::Routed {
            mode: sought.mode().name(),
            models: &models,
            providers: &providers,
            task: options.task.map(p402_core::catalog::Task::name),
        },
    };
    let embedder = question.node.embedder.get().map_or("", |embedder| embedder.id());
    let around = Around { tenant: ask.tenant, share, class, embedder, rules: &versions() };
    key(ask.body, ask.scan, &around)
}

/// One choice, and no probabilities: the only answers that are told again.
fn is_keepable(scan: &Scan) -> bool {
    scan.n <= 1 && !scan.logprobs && !scan.audio_out
}

/// Who asks, as the request names them.
fn user_of(ask: &Ask<'_>) -> Option<String> {
    let named = |key| {
        let raw = ask.scan.field(key)?.value.of(ask.body);
        serde_json::from_slice::<String>(raw).ok().filter(|name| !name.is_empty())
    };
    named("user").or_else(|| named("safety_identifier"))
}

const fn miss_of(error: EmbedError) -> Miss {
    match error {
        EmbedError::TooLong => Miss::Policy,
        EmbedError::Overflow => Miss::Overflow,
        EmbedError::Late => Miss::Deadline,
        EmbedError::Weights | EmbedError::Broken => Miss::Store,
    }
}
