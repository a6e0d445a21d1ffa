//! Decides whether a link points into a private network (compat.md § 9.1, `local_url`).
//! Does not resolve names and never fetches; whatever is odd in a host is taken for local.

use memchr::memmem;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Links are looked at up to here; a longer host is odd by itself.
const HOST_BYTES_MAX: usize = 256;

pub(super) fn contains(bytes: &[u8], word: &[u8]) -> bool {
    memmem::find(bytes, word).is_some()
}

/// Whether fetching this address would reach this machine or a private network.
pub(super) fn is_local(link: &str) -> bool {
    let link = link.trim_start_matches(|c: char| c <= ' ');
    let Some((scheme, rest)) = split_scheme(link) else {
        // `//host/path` takes the fetcher's scheme; anything else is no link.
        return link.starts_with("//") && host_is_local(link);
    };
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" | "ws" | "wss" | "ftp" => host_is_local(rest),
        "file" | "unix" | "gopher" | "dict" | "ldap" => true,
        _ => false,
    }
}

/// Scheme and rest; URL parsers drop tabs and line ends anywhere in a scheme.
fn split_scheme(link: &str) -> Option<(String, &str)> {
    let head = link.as_bytes().get(..32).unwrap_or(link.as_bytes());
    let colon = head.iter().position(|b| *b == b':')?;
    let scheme: String = link.get(..colon)?.chars().filter(|c| !is_dropped(*c)).collect();
    let regular = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if regular { Some((scheme, link.get(colon + 1..)?)) } else { None }
}

const fn is_dropped(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r')
}

/// `rest` is what follows `scheme:`; slashes of either kind and any number are passed.
fn host_is_local(rest: &str) -> bool {
    let rest = rest.trim_start_matches(|c| matches!(c, '/' | '\\') || is_dropped(c));
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let named = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if named.len() > HOST_BYTES_MAX {
        return true;
    }
    let host = fold(&percent_decoded(named));
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.split([']', '%']).next().unwrap_or_default();
        return address.parse::<Ipv6Addr>().map_or(true, v6_is_local);
    }
    let name = host.split(':').next().unwrap_or_default().trim_end_matches('.');
    match v4(name) {
        Some(Some(address)) => v4_is_local(address),
        // Numbers that are no address: nothing honest is called so.
        Some(None) => true,
        None => name_is_local(name),
    }
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match pair.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) if *byte == b'%' => {
                out.push(decoded);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Lower case, and the look-alikes that IDNA maps to ASCII: full width, circled digits, full stops.
fn fold(host: &str) -> String {
    let plain = |c: char| match c {
        '\u{3002}' | '\u{FF61}' => '.',
        '\u{FF01}'..='\u{FF5E}' => {
            char::from_u32(c as u32 - 0xFEE0).unwrap_or(c).to_ascii_lowercase()
        }
        '\u{2460}'..='\u{2468}' => char::from_digit(c as u32 - 0x245F, 10).unwrap_or(c),
        '\u{24EA}' => '0',
        '\u{24D0}'..='\u{24E9}' => char::from_u32(c as u32 - 0x24D0 + 0x61).unwrap_or(c),
        _ => c.to_ascii_lowercase(),
    };
    // Soft hyphens and zero-width characters vanish in a host.
    let vanishes = |c: &char| matches!(c, '\u{AD}' | '\u{200B}'..='\u{200D}' | '\u{2060}');
    host.chars().filter(|c| !is_dropped(*c) && !vanishes(c)).map(plain).collect()
}

/// `inet_aton`'s forms: one to four parts, each decimal, octal or hex.
/// `None`: a name. `Some(None)`: the last label is a number, but the whole is no address.
#[expect(clippy::option_option, reason = "name, odd number and address are three answers")]
fn v4(host: &str) -> Option<Option<Ipv4Addr>> {
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
    if last.is_empty() || !numeric {
        return None;
    }
    let parts: Option<Vec<u64>> = host.split('.').map(part).collect();
    Some(parts.and_then(|parts| joined(&parts)))
}

fn part(text: &str) -> Option<u64> {
    match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        (Some(""), _) | (_, Some("")) => Some(0),
        (Some(hex), _) => u64::from_str_radix(hex, 16).ok(),
        (_, Some(octal)) => u64::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

fn joined(parts: &[u64]) -> Option<Ipv4Addr> {
    let (last, heads) = parts.split_last()?;
    if heads.len() > 3 || heads.iter().any(|head| *head > 255) {
        return None;
    }
    let low_bits = 32 - 8 * heads.len() as u32;
    if *last >= 1u64 << low_bits {
        return None;
    }
    let high = heads.iter().fold(0u64, |sum, head| (sum << 8) | head);
    u32::try_from((high << low_bits) | last).ok().map(Ipv4Addr::from)
}

fn v4_is_local(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match a {
        0 | 10 | 127 | 224..=255 => true,
        100 => (64..=127).contains(&b),
        169 => b == 254,
        172 => (16..=31).contains(&b),
        192 => b == 168 || (b == 0 && c == 0),
        198 => b == 18 || b == 19,
        _ => false,
    }
}

fn v6_is_local(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let tail = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        // Unspecified, loopback, and IPv4 inside: mapped, compatible, translated, 6to4.
        [0, 0, 0, 0, 0, 0 | 0xFFFF, high, low]
        | [0, 0, 0, 0, 0xFFFF, 0, high, low]
        | [0x64, 0xFF9B, .., high, low]
        | [0x2002, high, low, ..] => v4_is_local(tail(high, low)),
        // Unique local, link-local, site-local, multicast.
        [top, ..] => matches!(top, 0xFC00..=0xFDFF | 0xFE80..=0xFEFF | 0xFF00..=0xFFFF),
    }
}

fn name_is_local(name: &str) -> bool {
    const ENDS: [&str; 8] =
        ["localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp"];
    let top = name.rsplit('.').next().unwrap_or_default();
    // A bare label is found by a search domain, so inside.
    !name.contains('.') || ENDS.contains(&top) || name.ends_with(".home.arpa")
}
