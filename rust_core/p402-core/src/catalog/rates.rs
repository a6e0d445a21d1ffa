//! Decides whether price rows are sound, and turns them into bands.
//! Does not compute a price (price.rs).

use super::record::{BandRecord, PriceRecord};
use super::types::{Band, PriceRow};
use crate::money::Usd;
use crate::time::Timestamp;

/// Price rows in order of their start.
pub(super) fn rows(records: &[PriceRecord]) -> Result<Vec<PriceRow>, String> {
    let rows = records.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    if rows.windows(2).any(|pair| matches!(pair, [a, b] if a.from >= b.from)) {
        return Err("price rows are not in order of their start".to_owned());
    }
    Ok(rows)
}

fn row(record: &PriceRecord) -> Result<PriceRow, String> {
    let from = match &record.from {
        Some(text) => Timestamp::parse_rfc3339(text)
            .ok_or_else(|| format!("bad start of a price: {text:?}"))?,
        None => Timestamp::BEGINNING,
    };
    let service = record
        .service
        .iter()
        .map(|(tier, records)| Ok((tier.clone(), bands(records)?)))
        .collect::<Result<Vec<_>, String>>()?;
    Ok(PriceRow {
        from,
        bands: bands(&record.bands)?,
        off: if record.off.is_empty() { Vec::new() } else { bands(&record.off)? },
        per_request: record.per_request.map_or(Usd::ZERO, |fee| fee.0),
        service,
    })
}

fn bands(records: &[BandRecord]) -> Result<Vec<Band>, String> {
    let bands: Vec<Band> = records.iter().map(band).collect();
    let ordered = bands.windows(2).all(|pair| matches!(pair, [a, b] if a.above < b.above));
    if bands.first().is_none_or(|first| first.above != 0) || !ordered {
        return Err("bands must start above 0 and rise".to_owned());
    }
    Ok(bands)
}

fn band(record: &BandRecord) -> Band {
    Band {
        above: record.above,
        input: record.input.0,
        output: record.output.0,
        cache_read: record.cache_read.map(|rate| rate.0),
        cache_write: record.cache_write.map(|rate| rate.0),
        cache_write_1h: record.cache_write_1h.map(|rate| rate.0),
        reasoning: record.reasoning.map(|rate| rate.0),
    }
}
