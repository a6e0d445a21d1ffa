//! Decides how rows are told outside: a JSON object, a line of CSV; integers stay integers.
//! Does not choose which rows.

use super::row::Row;
use crate::route::Mode;
use std::fmt::Write;

/// The first line of a CSV file of rows.
pub const CSV_HEAD: &str = "at_us,day,request_id,seq,kind,attempt,tenant,key,provider,model,\
    provider_request_id,session,mode,status,flags,input_tokens,cached_tokens,output_tokens,\
    reasoning_tokens,price_version,latency_us,provider_latency_us,held_nano,cost_nano,\
    wasted_nano,direct_nano\n";

/// The row as a JSON object.
pub fn row_json(row: &Row<'_>) -> serde_json::Value {
    serde_json::json!({
        "at_us": row.at.micros(),
        "day": row.day.to_string(),
        "request_id": row.rid.to_string(),
        "seq": row.seq.bits(),
        "kind": row.kind.name(),
        "attempt": row.attempt,
        "tenant": row.tenant,
        "key": hash_text(row.key),
        "provider": row.provider,
        "model": row.model,
        "provider_request_id": row.provider_request_id,
        "session": hash_text(row.session),
        "mode": row.mode.map(Mode::name),
        "status": row.status,
        "flags": row.flags.names().collect::<Vec<_>>(),
        "input_tokens": row.input_tokens,
        "cached_tokens": row.cached_tokens,
        "output_tokens": row.output_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "price_version": format!("{:08x}", row.price_version),
        "latency_us": row.latency_us,
        "provider_latency_us": row.provider_latency_us,
        "held_nano": row.held.nano(),
        "cost_nano": row.cost.nano(),
        "wasted_nano": row.wasted.nano(),
        "direct_nano": row.direct.nano(),
    })
}

/// Adds the row as a line of CSV: names quoted, flags by name with `+` between them.
pub fn row_csv(row: &Row<'_>, out: &mut String) {
    let flags: Vec<_> = row.flags.names().collect();
    // Writing to a string does not fail.
    let _ = write!(out, "{},{},{},", row.at.micros(), row.day, row.rid);
    let _ = write!(out, "{},{},{},", row.seq.bits(), row.kind.name(), row.attempt);
    quoted(row.tenant, out);
    let _ = write!(out, "{},", hash_text(row.key));
    for name in [row.provider, row.model, row.provider_request_id] {
        quoted(name, out);
    }
    let mode = row.mode.map_or("", Mode::name);
    let _ = write!(out, "{},{mode},{},{},", hash_text(row.session), row.status, flags.join("+"));
    for tokens in [row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens] {
        let _ = write!(out, "{tokens},");
    }
    let _ =
        write!(out, "{:08x},{},{},", row.price_version, row.latency_us, row.provider_latency_us);
    let [held, cost, wasted, direct] =
        [row.held, row.cost, row.wasted, row.direct].map(crate::money::Usd::nano);
    let _ = writeln!(out, "{held},{cost},{wasted},{direct}");
}

/// A hash in hex, nothing for none.
pub(super) fn hash_text(hash: u64) -> String {
    if hash == 0 { String::new() } else { format!("{hash:016x}") }
}

fn quoted(name: &str, out: &mut String) {
    let _ = write!(out, "\"{}\",", name.replace('"', "\"\""));
}
