//! Decides what one connection to a server is: how it is made, greeted, and called.
//! Does not retry and has no deadline of its own: server.rs cuts it off.

use super::address::{Address, Tag};
use super::wire::{self, Call};
use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, PushInfo, PushKind};
use ::redis::{Pipeline, RedisError, RedisResult, ServerErrorKind, Value, cmd, pipe};
use p402_core::time::Timestamp;
use ring::digest::{SHA256, digest};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

/// Calls that may wait for their turn to be written.
const QUEUED_MAX: usize = 1_024;
/// Where a recovery asks all nodes to write down what they know.
pub(super) const BARRIER: &str = "p402:barrier";

/// Hears barriers; must not block.
pub(super) type Hear = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Why a call brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Failure {
    /// The breaker is open: nobody was asked.
    Open,
    /// The deadline passed. `stalled`: it was noticed so late that the fault is ours.
    Late {
        stalled: bool,
    },
    Refused,
    /// The connection broke.
    Lost,
    /// Not the language, or not the form, that was expected.
    Garbled,
    /// The server answers, but cannot work; by the first word of its answer.
    Unfit(String),
    /// The server works, but not on this key (a wrong type, a bug in the script).
    Odd(String),
    /// Another server holds this slot, for good or for this once.
    Moved(String),
    Ask(String),
    /// The functions are not there.
    Missing,
}

/// A connection that has been greeted.
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// Tells this connection from those before and after it.
    pub(super) number: u64,
    epoch: AtomicI64,
    /// Set where Redis has no functions: the digest of the script.
    script: OnceLock<String>,
}

/// The answers to a greeting: INFO, TIME, and the libraries of our name.
type Greeted = (RedisResult<String>, RedisResult<(i64, i64)>, RedisResult<Vec<Value>>);

/// What a server says of itself.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    pub(super) stamp: Timestamp,
    pub(super) policy: String,
    pub(super) appends: bool,
    pub(super) replicas: bool,
}

impl Link {
    /// Connects, listens for barriers and reads who answers.
    pub(super) async fn connect(
        info: ConnectionInfo,
        number: u64,
        hear: Hear,
    ) -> Result<(Self, Greeting), Failure> {
        let client = Client::open(info).map_err(|error| failure(&error))?;
        let told = move |push: PushInfo| -> Result<(), ()> {
            if let (PushKind::Message, Some(Value::BulkString(text))) =
                (push.kind, push.data.last())
            {
                hear(text);
            }
            Ok(())
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUED_MAX)
            .set_push_sender(told);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connection.map_err(|error| failure(&error))?;
        connection.subscribe(BARRIER).await.map_err(|error| failure(&error))?;
        let (epoch, script) = (AtomicI64::new(0), OnceLock::new());
        let link = Self { connection, number, epoch, script };
        let greeting = link.greet().await?;
        Ok((link, greeting))
    }

    /// Asks who is there, what time it is, and whether the functions are. Where Redis has none at
    /// all the script takes their place: known now, since the error of an unknown FCALL would
    /// repeat binary arguments.
    async fn greet(&self) -> Result<Greeting, Failure> {
        let mut asked = pipe();
        asked.cmd("INFO").cmd("TIME").ignore_errors();
        asked.cmd("FUNCTION").arg("LIST").arg("LIBRARYNAME").arg(wire::LIBRARY_NAME);
        let answers = asked.query_async(&mut self.connection.clone()).await;
        let (text, time, functions): Greeted = answers.map_err(|error| failure(&error))?;
        let text = text.map_err(|error| failure(&error))?;
        let (seconds, micros) = time.map_err(|error| failure(&error))?;
        if field(&text, "role") == "slave" {
            return Err(Failure::Unfit("READONLY".to_owned()));
        }
        self.epoch.store(epoch(field(&text, "run_id")), Ordering::Relaxed);
        match functions {
            Ok(libraries) if libraries.is_empty() => self.load(false).await?,
            Ok(_) => {}
            Err(_) => self.load(true).await?,
        }
        Ok(Greeting {
            stamp: Timestamp::from_micros(seconds * 1_000_000 + micros),
            policy: field(&text, "maxmemory_policy").to_owned(),
            appends: field(&text, "aof_enabled") == "1",
            replicas: field(&text, "connected_slaves") != "0",
        })
    }

    /// 52 bits of who the server is: another run of it is another one.
    pub(super) fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Reads again who the server is: a proxy may have another one behind it by now.
    pub(super) async fn identify(&self) -> Result<(), Failure> {
        let text: String = cmd("INFO")
            .arg("server")
            .query_async(&mut self.connection.clone())
            .await
            .map_err(|error| failure(&error))?;
        self.epoch.store(epoch(field(&text, "run_id")), Ordering::Relaxed);
        Ok(())
    }

    /// One call; functions that are missing are brought once.
    pub(super) async fn call(
        &self,
        key: &str,
        call: &Call,
        asking: bool,
    ) -> Result<Vec<u8>, Failure> {
        let answer = self.send(key, call, asking).await;
        match answer {
            Err(Failure::Missing) => {
                self.load(self.script.get().is_some()).await?;
                self.send(key, call, asking).await
            }
            answer => answer,
        }
    }

    /// Waits until so many replicas have what was written before.
    pub(super) async fn replicated(&self, replicas: u32, within_ms: u64) -> Result<(), Failure> {
        let mut wait = cmd("WAIT");
        wait.arg(replicas).arg(within_ms.max(1));
        let reached = self.command(&wait).await?;
        match reached {
            Value::Int(reached) if reached >= i64::from(replicas) => Ok(()),
            _ => Err(Failure::Unfit("NOREPLICAS".to_owned())),
        }
    }

    /// Whether the server can do all that a request needs of it: run the functions, and write.
    pub(super) async fn probe(&self, tag: &Tag) -> Result<(), Failure> {
        self.call(&tag.key("acct"), &Call::peek(), false).await?;
        let mut set = cmd("SET");
        set.arg(tag.key("probe")).arg(1).arg("PX").arg(1_000);
        self.command(&set).await.map(drop)
    }

    /// Any other command.
    pub(super) async fn command(&self, command: &::redis::Cmd) -> Result<Value, Failure> {
        let answer = command.query_async(&mut self.connection.clone()).await;
        answer.map_err(|error| failure(&error))
    }

    /// Several commands in one trip; the answer to the last of them, if none failed.
    pub(super) async fn pipeline(&self, mut commands: Pipeline) -> Result<Value, Failure> {
        let answers = commands.ignore_errors().query_async(&mut self.connection.clone()).await;
        let answers: Vec<RedisResult<Value>> = answers.map_err(|error| failure(&error))?;
        let last = |_, answer: RedisResult<Value>| answer.map_err(|error| failure(&error));
        answers.into_iter().try_fold(Value::Nil, last)
    }

    async fn send(&self, key: &str, call: &Call, asking: bool) -> Result<Vec<u8>, Failure> {
        let mut command = match self.script.get() {
            None => cmd("FCALL"),
            Some(digest) => {
                let mut command = cmd("EVALSHA");
                command.arg(digest).arg(1).arg(key);
                command
            }
        };
        command.arg(call.function);
        if self.script.get().is_none() {
            command.arg(1).arg(key);
        }
        command.arg(&call.argument);
        let value = if asking {
            let mut both = pipe();
            both.cmd("ASKING").add_command(command);
            self.pipeline(both).await?
        } else {
            self.command(&command).await?
        };
        match value {
            Value::BulkString(bytes) => Ok(bytes),
            _ => Err(Failure::Garbled),
        }
    }

    async fn load(&self, as_script: bool) -> Result<(), Failure> {
        if as_script {
            let mut load = cmd("SCRIPT");
            load.arg("LOAD").arg(wire::script());
            let Value::BulkString(digest) = self.command(&load).await? else {
                return Err(Failure::Garbled);
            };
            self.script.get_or_init(|| String::from_utf8_lossy(&digest).into_owned());
            return Ok(());
        }
        let mut load = cmd("FUNCTION");
        load.arg("LOAD").arg(wire::library());
        match self.command(&load).await {
            // Another node was faster.
            Err(Failure::Odd(told)) if told.contains("already exists") => Ok(()),
            answer => answer.map(drop),
        }
    }
}

impl Address {
    /// The server to connect to now: sentinels are asked, in their order, who the primary is.
    pub(in crate::store) async fn resolve(&self) -> Result<ConnectionInfo, Failure> {
        let Self::Sentinel { sentinels, service, primary } = self else {
            return match self {
                Self::Server(info) => Ok(info.clone()),
                Self::Cluster(seeds) => seeds.first().cloned().ok_or(Failure::Refused),
                Self::Sentinel { primary, .. } => Ok(primary.clone()),
            };
        };
        let mut last = Failure::Refused;
        for sentinel in sentinels {
            match ask_sentinel(sentinel, service).await {
                Ok((host, port)) => {
                    let place = format!("{host}:{port}");
                    return super::address::elsewhere(primary, &place).ok_or(Failure::Garbled);
                }
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }
}

async fn ask_sentinel(at: &ConnectionInfo, service: &str) -> Result<(String, u16), Failure> {
    let client = Client::open(at.clone()).map_err(|error| failure(&error))?;
    let connection = client.get_multiplexed_async_connection().await;
    let mut connection = connection.map_err(|error| failure(&error))?;
    let mut ask = cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
    ask.query_async(&mut connection).await.map_err(|error| failure(&error))
}

/// 52 bits of a run id, exact in a double.
fn epoch(run_id: &str) -> i64 {
    let digest = digest(&SHA256, run_id.as_bytes());
    let first =
        digest.as_ref().iter().take(8).fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    (first >> 12) as i64
}

/// One field of an INFO text; empty where it is missing.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let of = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    text.lines().find_map(of).unwrap_or_default()
}

/// What an error means for the server it came from.
fn failure(error: &RedisError) -> Failure {
    /// Words of a server that answers, but cannot work.
    const UNFIT: [&str; 14] = [
        "OOM",
        "READONLY",
        "NOREPLICAS",
        "MISCONF",
        "BUSY",
        "LOADING",
        "CLUSTERDOWN",
        "MASTERDOWN",
        "NOAUTH",
        "WRONGPASS",
        "NOPERM",
        "TRYAGAIN",
        "UNKILLABLE",
        "NOPROTO",
    ];
    let place = || error.redirect_node().map_or_else(String::new, |(place, _)| place.to_owned());
    match error.kind() {
        _ if error.is_connection_refusal() => Failure::Refused,
        ErrorKind::Server(ServerErrorKind::Moved) => Failure::Moved(place()),
        ErrorKind::Server(ServerErrorKind::Ask) => Failure::Ask(place()),
        ErrorKind::Server(ServerErrorKind::NoScript) => Failure::Missing,
        ErrorKind::Io => Failure::Lost,
        ErrorKind::AuthenticationFailed => Failure::Unfit("WRONGPASS".to_owned()),
        ErrorKind::RESP3NotSupported => Failure::Unfit("NOPROTO".to_owned()),
        ErrorKind::Server(_) | ErrorKind::Extension => {
            let code = error.code().unwrap_or_default();
            let detail = error.detail().unwrap_or_default();
            match detail {
                _ if UNFIT.contains(&code) => Failure::Unfit(code.to_owned()),
                _ if detail.contains("Function not found") => Failure::Missing,
                _ => Failure::Odd(format!("{code} {detail}")),
            }
        }
        _ => Failure::Garbled,
    }
}
