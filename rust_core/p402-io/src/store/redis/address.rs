//! Decides where the store is: the forms of its URL, and the names of the keys it holds.
//! Does not connect; a password is part of a URL and appears in no message.

use crate::trust::Trust;
use ::redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use ::redis::{ProtocolVersion, TlsCertificates};
use ring::digest::{SHA256, digest};
use std::fmt::Write;
use std::sync::Arc;

/// Slots of a cluster.
pub const SLOTS: u16 = 16_384;
/// Hosts that one URL may name.
const HOSTS_MAX: usize = 16;
const SENTINEL_PORT: u16 = 26_379;

/// Where accounts are kept.
#[derive(Clone, Debug)]
pub enum Address {
    /// One server: `redis://`, `rediss://`, `unix://`.
    Server(ConnectionInfo),
    /// Whoever the sentinels say is the primary of `service`:
    /// `redis-sentinel://[user:password@]host,host/service[/db]`; `rediss-` is TLS with them all.
    Sentinel { sentinels: Vec<ConnectionInfo>, service: String, primary: ConnectionInfo },
    /// A cluster, entered at any of these: `redis-cluster://[user:password@]host,host`.
    Cluster(Vec<ConnectionInfo>),
}

/// The parts of a URL that names several hosts.
struct Parts<'a> {
    /// `redis` or `rediss`.
    scheme: &'a str,
    /// `user:password@`, or nothing.
    who: &'a str,
    hosts: Vec<&'a str>,
    path: &'a str,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// A sentence that names what is wrong and repeats no part of the URL that could be secret.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("the store's URL has no scheme")?;
        match scheme.split_once('-') {
            None if matches!(scheme, "redis" | "rediss" | "unix" | "redis+unix") => {
                Ok(Self::Server(info(url)?))
            }
            Some((plain @ ("redis" | "rediss"), "cluster")) => {
                let parts = Parts::of(plain, rest)?;
                let at = |host: &&str| info(&format!("{}://{}{host}", parts.scheme, parts.who));
                Ok(Self::Cluster(parts.hosts.iter().map(at).collect::<Result<_, _>>()?))
            }
            Some((plain @ ("redis" | "rediss"), "sentinel")) => Parts::of(plain, rest)?.sentinel(),
            _ => Err(format!(
                "the store's URL begins with {scheme}, not with redis, rediss, unix, \
                 redis-sentinel or redis-cluster"
            )),
        }
    }

    /// The same servers, believed by these certificates wherever TLS is spoken.
    ///
    /// # Errors
    /// A sentence: the certificates cannot be read.
    pub fn trusting(mut self, trust: &Trust) -> Result<Self, String> {
        let all: Vec<&mut ConnectionInfo> = match &mut self {
            Self::Server(info) => vec![info],
            Self::Sentinel { sentinels, primary, .. } => {
                sentinels.iter_mut().chain([primary]).collect()
            }
            Self::Cluster(seeds) => seeds.iter_mut().collect(),
        };
        for info in all {
            if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
                *info = believed(info, trust)?;
            }
        }
        Ok(self)
    }
}

fn believed(info: &ConnectionInfo, trust: &Trust) -> Result<ConnectionInfo, String> {
    let own = trust.own.clone();
    let certificates = TlsCertificates {
        client_tls: own
            .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key }),
        root_cert: trust.roots.clone(),
    };
    let client = Client::build_with_tls(info.clone(), certificates);
    let client = client.map_err(|_| "the store's certificates cannot be read")?;
    Ok(client.get_connection_info().clone())
}

impl<'a> Parts<'a> {
    fn of(scheme: &'a str, rest: &'a str) -> Result<Self, String> {
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (who, hosts) = place.split_at(place.rfind('@').map_or(0, |at| at + 1));
        let hosts: Vec<&str> = hosts.split(',').filter(|host| !host.is_empty()).collect();
        if hosts.is_empty() || hosts.len() > HOSTS_MAX {
            return Err(format!("the store's URL must name 1 to {HOSTS_MAX} hosts"));
        }
        Ok(Self { scheme, who, hosts, path })
    }

    fn sentinel(&self) -> Result<Address, String> {
        let (service, db) = self.path.split_once('/').unwrap_or((self.path, "0"));
        let first = self.hosts.first().copied().unwrap_or_default();
        if service.is_empty() {
            return Err("a redis-sentinel URL ends with the name of its service".to_owned());
        }
        let at = |host: &&str| match host.rsplit_once(':') {
            Some(_) => info(&format!("{}://{host}", self.scheme)),
            None => info(&format!("{}://{host}:{SENTINEL_PORT}", self.scheme)),
        };
        Ok(Address::Sentinel {
            sentinels: self.hosts.iter().map(at).collect::<Result<_, _>>()?,
            service: service.to_owned(),
            primary: info(&format!("{}://{}{first}/{db}", self.scheme, self.who))?,
        })
    }
}

/// One server. RESP3, because barriers of other nodes come as pushes on the same connection.
fn info(url: &str) -> Result<ConnectionInfo, String> {
    let info = url.into_connection_info().map_err(|_| "the store's URL cannot be read")?;
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    // A command waits for no other one to fill its packet.
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    Ok(info.set_redis_settings(redis).set_tcp_settings(tcp))
}

/// The same credentials and settings at another `host:port`.
pub fn elsewhere(info: &ConnectionInfo, place: &str) -> Option<ConnectionInfo> {
    let (host, port) = place.rsplit_once(':')?;
    let (host, port) = (host.trim_matches(['[', ']']).to_owned(), port.parse().ok()?);
    let addr = match info.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    Some(info.clone().set_addr(addr))
}

/// What a tenant is called in the store: no name can leave its key or share another's slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    pub fn of(tenant: &str) -> Self {
        let digest = digest(&SHA256, tenant.as_bytes());
        let mut tag = String::with_capacity(20);
        for byte in digest.as_ref().iter().take(10) {
            // Writing to a string cannot fail.
            let _ = write!(tag, "{byte:02x}");
        }
        Self(tag.into())
    }

    /// A tag as another node wrote it.
    pub fn told(text: &str) -> Option<Self> {
        let regular = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        regular.then(|| Self(text.into()))
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// `p402:{tag}:what`: all keys of a tenant lie in one slot.
    pub fn key(&self, what: &str) -> String {
        format!("p402:{{{}}}:{what}", self.0)
    }

    /// The cluster's slot of this tenant's keys: CRC-16 (XMODEM) of what stands in braces.
    pub fn slot(&self) -> u16 {
        let step = |crc: u16, byte: u8| {
            (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            })
        };
        self.0.bytes().fold(0, step) % SLOTS
    }
}
