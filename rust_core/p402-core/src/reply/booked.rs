//! Decides how a request reads that no node remembers any more: from its rows in the ledger.
//! Does not know prompts, parts of a bill or how each attempt ended: rows do not hold them.

use super::json;
use super::metadata::Metadata;
use crate::ledger::{Flags, Kind, Row};
use crate::route::Mode;

/// The body of `GET /requests/{id}` from all rows of one request; `None` where there are none.
pub fn booked_json(rows: &[Row<'_>]) -> Option<Vec<u8>> {
    let first = rows.first()?;
    let last = rows.iter().find(|row| row.kind.closes()).or(rows.last())?;
    let status = match last.kind {
        Kind::Settle => "settled",
        Kind::Release => "released",
        Kind::Suspense => "suspense",
        _ => "in_flight",
    };
    let mut out = Vec::with_capacity(1_024);
    out.push(b'{');
    json::text_member(&mut out, "object", "request");
    json::text_member(&mut out, "id", &first.rid.to_string());
    json::member(&mut out, "created", first.at.seconds());
    json::text_member(&mut out, "status", status);
    json::member(&mut out, "http_status", last.status);
    json::member(&mut out, "stream", last.flags.has(Flags::STREAM));
    json::key(&mut out, "attempts");
    list(&mut out, rows.iter().filter(|row| row.kind == Kind::Dispatch), |out, row| {
        out.push(b'{');
        json::text_member(out, "provider", row.provider);
        json::text_member(out, "model", row.model);
        out.push(b'}');
    });
    let flags = last.flags.without(Flags::STREAM.with(Flags::DIRECT_REQUESTED));
    json::key(&mut out, "flags");
    list(&mut out, flags.names(), json::text);
    json::key(&mut out, "adjustments_nano_usd");
    let adjusted = rows.iter().filter(|row| row.kind == Kind::Adjust);
    let adjusted = adjusted.map(|row| row.spent().nano());
    list(&mut out, adjusted, json::plain);
    json::key(&mut out, "p402_metadata");
    metadata(&mut out, last);
    out.push(b'}');
    Some(out)
}

fn metadata(out: &mut Vec<u8>, row: &Row<'_>) {
    let told = Metadata {
        request_id: row.rid,
        tenant_id: row.tenant,
        provider: row.provider,
        model: row.model,
        cost: row.cost,
        direct: row.direct,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        latency_us: row.latency_us.into(),
        provider_latency_us: row.provider_latency_us.into(),
        cached: row.flags.has(Flags::CACHED),
        mode: row.mode.unwrap_or(Mode::Balanced),
        cost_details: None,
        routing: None,
        guard: None,
        cache: None,
    };
    told.write(out);
    out.pop();
    json::key(out, "cost_details");
    out.push(b'{');
    json::member(out, "wasted_upstream_usd", row.wasted);
    json::member(out, "cost_nano_usd", row.cost.nano());
    out.extend_from_slice(b"}}");
}

fn list<T>(
    out: &mut Vec<u8>,
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}
