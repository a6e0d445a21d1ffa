//! Decides how `p402_metadata` reads: thirteen keys, always in this order, then the optional ones.
//! Does not price (bill.rs) and does not place it in a body or a stream (dialect/).

use super::json;
use crate::bill::{Bill, DirectBasis, PriceSource, UsageSource};
use crate::id::RequestId;
use crate::money::Usd;
use crate::route::Mode;
use std::fmt;

/// Everything a reply says about itself.
#[derive(Clone, Copy, Debug)]
pub struct Metadata<'a> {
    pub request_id: RequestId,
    pub tenant_id: &'a str,
    pub provider: &'a str,
    pub model: &'a str,
    pub cost: Usd,
    pub direct: Usd,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub latency_us: u64,
    pub provider_latency_us: u64,
    pub cached: bool,
    pub mode: Mode,
    /// With `p402.cost_details`.
    pub cost_details: Option<CostDetails<'a>>,
    /// With `p402.explain`: the raw JSON object of routing.md § 2.5.
    pub routing: Option<&'a [u8]>,
    /// Where the guard has something to say: a raw JSON object.
    pub guard: Option<&'a [u8]>,
    /// With `p402.explain`, where the cache was asked: a raw JSON object.
    pub cache: Option<&'a [u8]>,
}

/// The optional `cost_details` object (catalog.md § 12).
#[derive(Clone, Copy, Debug)]
pub struct CostDetails<'a> {
    pub bill: &'a Bill,
    pub attempts: u32,
}

/// Microseconds shown as milliseconds, at most three decimals.
struct Millis(u64);

impl Metadata<'_> {
    /// Writes the JSON object.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(512);
        out.push(b'{');
        json::text_member(out, "request_id", &self.request_id.to_string());
        json::text_member(out, "tenant_id", self.tenant_id);
        json::text_member(out, "provider", self.provider);
        json::text_member(out, "model", self.model);
        json::member(out, "cost_usd", self.cost);
        json::member(out, "direct_cost", self.direct);
        json::member(out, "savings", self.direct.saturating_sub(self.cost));
        json::member(out, "input_tokens", self.input_tokens);
        json::member(out, "output_tokens", self.output_tokens);
        json::member(out, "latency_ms", Millis(self.latency_us));
        // Two clocks' readings may cross by a tick; P402's own part is never negative.
        let waited_us = self.provider_latency_us.min(self.latency_us);
        json::member(out, "provider_latency_ms", Millis(waited_us));
        json::member(out, "cached", self.cached);
        json::text_member(out, "routing_mode", self.mode.name());
        if let Some(details) = &self.cost_details {
            json::key(out, "cost_details");
            details.write(out);
        }
        if let Some(routing) = self.routing {
            json::key(out, "routing");
            out.extend_from_slice(routing);
        }
        if let Some(guard) = self.guard {
            json::key(out, "guard");
            out.extend_from_slice(guard);
        }
        if let Some(cache) = self.cache {
            json::key(out, "cache");
            out.extend_from_slice(cache);
        }
        out.push(b'}');
    }
}

impl CostDetails<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let bill = self.bill;
        // The remainder, so that the rounded parts add up.
        let fee = bill.cost.saturating_sub(bill.upstream).saturating_sub(bill.overhead);
        out.push(b'{');
        json::member(out, "upstream_usd", bill.upstream);
        json::member(out, "platform_fee_usd", fee);
        json::member(out, "overhead_usd", bill.overhead);
        json::member(out, "wasted_upstream_usd", bill.wasted);
        json::text_member(out, "direct_basis", basis_name(bill.basis));
        json::text_member(out, "direct_provider", &bill.direct_provider);
        json::text_member(out, "direct_model", &bill.direct_model);
        json::member(out, "requested_known", bill.requested_known);
        json::member(out, "estimated", bill.estimated);
        json::text_member(out, "usage_source", usage_name(bill.usage_source));
        json::text_member(out, "price_source", price_name(bill.price_source));
        json::text_member(out, "price_as_of", &bill.price_as_of);
        json::text_member(out, "price_confidence", bill.price_confidence);
        json::optional_member(out, "service_tier", bill.service_tier.as_deref());
        json::key(out, "breakdown");
        out.push(b'{');
        json::member(out, "input", bill.input);
        json::member(out, "cache_read", bill.cache_read);
        json::member(out, "cache_write", bill.cache_write);
        json::member(out, "output", bill.output);
        json::member(out, "fees", bill.fees);
        out.push(b'}');
        json::member(out, "provider_cache_discount_usd", bill.cache_discount);
        json::member(out, "attempts", self.attempts);
        json::member(out, "cost_nano_usd", bill.cost.nano());
        out.push(b'}');
    }
}

const fn basis_name(basis: DirectBasis) -> &'static str {
    match basis {
        DirectBasis::RequestedModel => "requested_model",
        DirectBasis::ServedModel => "served_model",
    }
}

const fn usage_name(source: UsageSource) -> &'static str {
    match source {
        UsageSource::Provider => "provider",
        UsageSource::Estimated => "estimated",
    }
}

const fn price_name(source: PriceSource) -> &'static str {
    match source {
        PriceSource::Catalog => "catalog",
        PriceSource::Reported => "reported",
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, us) = (self.0 / 1_000, self.0 % 1_000);
        match us {
            0 => write!(f, "{whole}"),
            _ if us.is_multiple_of(100) => write!(f, "{whole}.{}", us / 100),
            _ if us.is_multiple_of(10) => write!(f, "{whole}.{:02}", us / 10),
            _ => write!(f, "{whole}.{us:03}"),
        }
    }
}
