//! Hears what a person says of a request while the gateway runs: at a socket in its data directory.
//! Does not say what a row holds (the ledger does), nor hear whoever may not enter the directory.

use crate::clock::Clock;
use crate::home::Home;
use crate::ledger::RowBytes;
use crate::store::Tenant;
use crate::world::World;
use p402_core::guard::Op;
use p402_core::id::RequestId;
use p402_core::ledger::{Kind, ROW_BYTES, Row};
use p402_core::money::Usd;
use p402_core::time::Timestamp;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as Caller;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::spawn_blocking;

const FILE: &str = "hatch.sock";
/// A request's id, a space and nano-dollars are shorter.
const ASKED_MAX: u64 = 80;
/// Longest talk, at either end.
const TALK_MAX: Duration = Duration::from_secs(10);
const DONE: u8 = 1;
const REFUSED: u8 = 0;

/// What a person says: this request costs so much in all, or its hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    rid: RequestId,
    cost: Option<Usd>,
}

/// Says it to the gateway that runs on a data directory: its row, or its refusal in words.
///
/// # Errors
/// Nobody listens there.
pub fn say(
    folder: &Path,
    rid: RequestId,
    cost: Option<Usd>,
) -> io::Result<Result<RowBytes, String>> {
    let mut caller = Caller::connect(folder.join(FILE))?;
    caller.set_read_timeout(Some(TALK_MAX))?;
    caller.set_write_timeout(Some(TALK_MAX))?;
    caller.write_all(Said { rid, cost }.text().as_bytes())?;
    caller.shutdown(std::net::Shutdown::Write)?;
    let mut told = Vec::new();
    caller.take(1 + ROW_BYTES as u64).read_to_end(&mut told)?;
    match told.split_first() {
        Some((&DONE, row)) => row.try_into().map(Ok).map_err(io::Error::other),
        Some((_, words)) => Ok(Err(String::from_utf8_lossy(words).into_owned())),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Listens for as long as the process lives, to one person at a time. A directory whose name is too
/// long for a socket has no hatch.
pub async fn keep(home: Arc<Home>, world: impl Fn() -> Arc<World>, clock: Arc<dyn Clock>) {
    let place = home.ledger.folder().join(FILE);
    // The directory is held by this process: what is there is a dead one's.
    let _ = std::fs::remove_file(&place);
    let Ok(listener) = UnixListener::bind(&place) else { return };
    while let Ok((caller, _)) = listener.accept().await {
        let world = world();
        let talk = hear(&home, &world, caller, clock.now().utc);
        // Whoever does not speak in time has to come back.
        let _ = tokio::time::timeout(TALK_MAX, talk).await;
    }
}

async fn hear(
    home: &Arc<Home>,
    world: &World,
    mut caller: UnixStream,
    now: Timestamp,
) -> io::Result<()> {
    let mut asked = String::new();
    (&mut caller).take(ASKED_MAX).read_to_string(&mut asked).await?;
    let outcome = match Said::read(&asked) {
        Some(said) => book(home, world, said, now).await,
        None => Err("a request's id, and its cost in nano-dollars".to_owned()),
    };
    let (first, rest) = match &outcome {
        Ok(row) => (DONE, &row[..]),
        Err(words) => (REFUSED, words.as_bytes()),
    };
    caller.write_all(&[&[first], rest].concat()).await?;
    caller.shutdown().await
}

/// First the row, then the account.
async fn book(
    home: &Arc<Home>,
    world: &World,
    said: Said,
    now: Timestamp,
) -> Result<RowBytes, String> {
    let ledger = Arc::clone(&home.ledger);
    let written = spawn_blocking(move || {
        let mut books = ledger.books().map_err(|error| error.to_string())?;
        let open = books.open_requests().map_err(|error| error.to_string())?;
        let owner = open.iter().find(|open| open.rid == said.rid).map(|open| open.owner);
        let row = ledger.settle_by_hand(said.rid, said.cost, now);
        row.map(|row| (row, owner)).map_err(|error| error.to_string())
    });
    let (bytes, owner) = written.await.map_err(|error| error.to_string())??;
    let row = Row::decode(&bytes).map_err(|fault| format!("{fault:?}"))?;
    let limits = world.tenant(row.tenant).limits;
    let tenant = Tenant { id: row.tenant, limits: &limits };
    if row.kind == Kind::Adjust {
        home.store.correct(&tenant, (row.day, row.spent()), now);
    } else {
        let owner = owner.unwrap_or(home.owner);
        let settle = Op::Settle { rid: said.rid, owner, actual: row.spent() };
        // Without an answer it is owed.
        let _ = home.store.call(&tenant, settle, now).answer().await;
    }
    Ok(bytes)
}

impl Said {
    fn text(self) -> String {
        let cost = self.cost.map(|cost| format!(" {}", cost.nano())).unwrap_or_default();
        format!("{}{cost}", self.rid)
    }

    fn read(text: &str) -> Option<Self> {
        let (rid, cost) = text.trim_end().split_once(' ').unzip();
        let rid = RequestId::parse(rid.unwrap_or(text.trim_end()))?;
        let cost = cost.map(|nano| nano.parse().map(Usd::from_nano)).transpose().ok()?;
        Some(Self { rid, cost })
    }
}
