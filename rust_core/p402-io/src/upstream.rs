//! Decides where a provider is reached, with which headers, and in whose language.
//! Does not open connections (transport/) and does not choose a key (core's router).

use crate::sign::Signer;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use p402_core::catalog::{Auth, Provider};
use p402_core::config::Config;
use p402_core::dialect::{Codec, codec};
use ring::hmac;

/// Stands in an address for the offer's own id.
const DEPLOYMENT: &str = "{deployment}";
const CHAT: &str = "/chat/completions";

/// Where a provider is reached and with which credentials.
#[derive(Debug)]
pub struct Upstream {
    /// Where a chat goes whose bytes pass; `None` where each model has an address of its own.
    chat: Option<Uri>,
    /// One per key, in order of preference.
    pub keys: Vec<Credential>,
    /// Translates for a provider of another language.
    pub codec: Option<&'static dyn Codec>,
    base: Box<str>,
    /// Follows every path: `?api-version=…`, or nothing.
    query: Box<str>,
    /// Under it users become pseudonyms; a secret that the provider knows already.
    pseudonyms: hmac::Key,
}

/// What shows an upstream who asks.
#[derive(Debug)]
pub struct Credential {
    /// Complete, but for a signature.
    pub headers: HeaderMap,
    /// Signs each request where a header is not enough.
    pub signer: Option<Signer>,
}

impl Upstream {
    /// How this provider is reached; `None` where it cannot be from here.
    ///
    /// # Errors
    /// A sentence naming the provider and what is wrong with its address or key.
    pub fn of(provider: &Provider, config: &Config) -> Result<Option<Self>, String> {
        let keys = config.keys.get(&*provider.id);
        let keyless = matches!(provider.auth, Auth::None | Auth::BearerOptional);
        let spoken = provider.dialect.is_spoken() && provider.auth != Auth::Unsupported;
        if !spoken || !provider.routable || (keys.is_none() && !(keyless && own(provider))) {
            return Ok(None);
        }
        let none = vec![String::new()];
        let keys = keys.unwrap_or(&none);
        let secret = keys.first().map_or("", String::as_str);
        let codec = codec(provider.dialect);
        let (base, version) = provider.base_url.split_once('?').unwrap_or((&provider.base_url, ""));
        let query = if version.is_empty() { String::new() } else { format!("?{version}") };
        let mut upstream = Self {
            chat: None,
            keys: keys
                .iter()
                .map(|key| Credential::of(provider, codec, key))
                .collect::<Result<_, _>>()?,
            codec,
            base: base.into(),
            query: query.into(),
            pseudonyms: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
        };
        // Tried with a name that is one, so that a bad address is found at load.
        let chat = upstream.endpoint("x", CHAT).filter(|_| !base.contains(DEPLOYMENT));
        if chat.is_none() && upstream.endpoint("x", CHAT).is_none() {
            return Err(format!("provider {}: base_url makes no address", provider.id));
        }
        upstream.chat = chat;
        Ok(Some(upstream))
    }

    /// Where a request for this model goes whose bytes pass, a chat or one of another path; `None`
    /// where its name makes no address.
    pub fn passing(&self, model: &str, path: Option<&str>) -> Option<Uri> {
        match (path, &self.chat) {
            (None, Some(chat)) => Some(chat.clone()),
            (path, _) => self.endpoint(model, path.unwrap_or(CHAT)),
        }
    }

    /// The address of this path below the provider's own; a deployment's name stands in it.
    pub fn endpoint(&self, model: &str, path: &str) -> Option<Uri> {
        let Some((head, tail)) = self.base.split_once(DEPLOYMENT) else {
            return format!("{}{path}{}", self.base, self.query).parse().ok();
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = !model.is_empty() && model.bytes().all(plain) && !model.starts_with('.');
        is_name.then(|| format!("{head}{model}{tail}{path}{}", self.query).parse().ok())?
    }

    /// What a provider is told in place of a tenant's user: the same for the same, and no name.
    pub fn pseudonym(&self, tenant: &str, user: &str) -> String {
        let mut context = hmac::Context::with_key(&self.pseudonyms);
        context.update(tenant.as_bytes());
        context.update(b"\n");
        context.update(user.as_bytes());
        let digest = context.sign();
        let (head, _) = digest.as_ref().split_first_chunk().unwrap_or((&[0; 16], &[]));
        format!("{:032x}", u128::from_be_bytes(*head))
    }
}

impl Credential {
    fn of(provider: &Provider, codec: Option<&dyn Codec>, key: &str) -> Result<Self, String> {
        let signer = match provider.auth {
            Auth::SigV4 => Signer::read(key, &provider.base_url),
            _ => None,
        };
        let shown = if signer.is_some() { "" } else { key };
        Ok(Self { headers: headers(provider, codec, shown)?, signer })
    }
}

/// Reached without a key only where the operator (or the sandbox) put it there.
fn own(provider: &Provider) -> bool {
    use p402_core::catalog::ProviderKind::{Config, Local, Sandbox};
    matches!(provider.kind, Config | Local | Sandbox)
}

/// The only headers an upstream ever sees (compat.md § 9.1).
fn headers(provider: &Provider, codec: Option<&dyn Codec>, key: &str) -> Result<HeaderMap, String> {
    let mut map = HeaderMap::with_capacity(6);
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    map.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let agent = concat!("p402/", env!("CARGO_PKG_VERSION"));
    map.insert(USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in codec.map_or(&[][..], Codec::headers) {
        map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let (name, text) = match provider.auth {
        Auth::Header(name) => (HeaderName::from_static(name), key.to_owned()),
        _ if key.is_empty() => return Ok(map),
        _ => (AUTHORIZATION, format!("Bearer {key}")),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        format!("provider {}: the key holds a character no header may", provider.id)
    })?;
    value.set_sensitive(true);
    map.insert(name, value);
    Ok(map)
}

/// The header that keeps a session on one of the provider's hosts.
pub fn affinity(provider: &Provider) -> Option<HeaderName> {
    provider.quirks.affinity_header.as_deref().and_then(|name| name.parse().ok())
}
