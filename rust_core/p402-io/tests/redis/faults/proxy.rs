//! A proxy before a server that does to its bytes what networks do: delays, losses, lies.
//! Does not understand them, and runs in a thread of its own so as not to slow what is measured.

use crate::server::free_port;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is done to the bytes that come from the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trouble {
    #[default]
    None,
    Delay(Duration),
    /// Up to this much, and one chunk in twenty resets the connection.
    JitterAndResets(Duration),
    /// Nothing passes any more, in either direction, and nobody says so.
    BlackHole,
    /// Sixteen bytes at a time.
    Sliced,
    /// The next reply is lost together with its connection; then all is well.
    LostOnce,
    /// Half of a reply, then the end; never half of several, which would be a whole one.
    Truncated,
    Noise,
    /// A reply that announces half a gigabyte.
    Oversized,
    /// The functions that a client loads and calls bear the next release's names.
    NextRelease,
}

/// How names of this release end, and those of the next.
const OLD: &[u8] = b"_v1";
const NEW: &[u8] = b"_v2";

/// A decision on the wire: its length, sixteen numbers, the line's end.
const REPLY_BYTES: usize = "$128\r\n".len() + 128 + 2;

pub(crate) struct Proxy {
    port: u16,
    trouble: Arc<Mutex<Trouble>>,
    /// A new number ends every connection with a reset.
    resets: watch::Sender<u64>,
    target: Arc<Mutex<u16>>,
}

impl Proxy {
    pub(crate) fn before(target: u16) -> Self {
        let port = free_port();
        let trouble = Arc::<Mutex<Trouble>>::default();
        let (resets, _) = watch::channel(0);
        let target = Arc::new(Mutex::new(target));
        let parts = (trouble.clone(), resets.clone(), target.clone());
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve(listener, parts));
        });
        Self { port, trouble, resets, target }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
    pub(crate) fn set(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = trouble;
    }
    /// Resets every connection there is.
    pub(crate) fn reset(&self) {
        self.resets.send_modify(|number| *number += 1);
    }
    /// From now on another server is behind it.
    pub(crate) fn turn_to(&self, port: u16) {
        *self.target.lock().unwrap() = port;
        self.reset();
    }
}

type Parts = (Arc<Mutex<Trouble>>, watch::Sender<u64>, Arc<Mutex<u16>>);

async fn serve(listener: std::net::TcpListener, (trouble, resets, target): Parts) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut count = 0_u64;
    while let Ok((client, _)) = listener.accept().await {
        count += 1;
        let target = *target.lock().unwrap();
        let (trouble, resets) = (trouble.clone(), resets.subscribe());
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            join(client, server, (trouble, resets), count).await;
        });
    }
}

async fn join(
    mut client: TcpStream,
    mut server: TcpStream,
    (trouble, mut resets): (Arc<Mutex<Trouble>>, watch::Receiver<u64>),
    mut dice: u64,
) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut rest = Vec::new();
    let _ = resets.borrow_and_update();
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let trouble = *trouble.lock().unwrap();
                if trouble == Trouble::BlackHole {
                    std::future::pending::<()>().await;
                }
                rest.extend(&up[..count]);
                let passed = if trouble == Trouble::NextRelease {
                    renamed(&mut rest)
                } else {
                    std::mem::take(&mut rest)
                };
                if server.write_all(&passed).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                let trouble = {
                    let mut trouble = trouble.lock().unwrap();
                    let now = *trouble;
                    if now == Trouble::LostOnce {
                        *trouble = Trouble::None;
                    }
                    now
                };
                if !pass(&mut client, &down[..count], trouble, dice >> 33).await {
                    let _ = client.set_zero_linger();
                    return;
                }
            }
            _ = resets.changed() => {
                let _ = client.set_zero_linger();
                return;
            }
        }
    }
}

/// All but what may be the beginning of a name, with each `_v1` made a `_v2`.
fn renamed(rest: &mut Vec<u8>) -> Vec<u8> {
    let kept = [2, 1].into_iter().find(|&count| rest.ends_with(&OLD[..count])).unwrap_or(0);
    let mut passed: Vec<u8> = rest.drain(..rest.len() - kept).collect();
    let places = passed.windows(OLD.len()).enumerate().filter(|(_, word)| *word == OLD);
    for at in places.map(|(at, _)| at).collect::<Vec<_>>() {
        passed[at..at + OLD.len()].copy_from_slice(NEW);
    }
    passed
}

/// Passes the server's bytes on as the trouble wants it; whether the connection goes on.
async fn pass(client: &mut TcpStream, bytes: &[u8], trouble: Trouble, dice: u64) -> bool {
    match trouble {
        Trouble::None | Trouble::NextRelease => client.write_all(bytes).await.is_ok(),
        Trouble::Delay(delay) => {
            tokio::time::sleep(delay).await;
            client.write_all(bytes).await.is_ok()
        }
        Trouble::JitterAndResets(most) => {
            tokio::time::sleep(most * (dice % 100) as u32 / 100).await;
            !dice.is_multiple_of(20) && client.write_all(bytes).await.is_ok()
        }
        Trouble::BlackHole => std::future::pending().await,
        Trouble::LostOnce => false,
        Trouble::Sliced => {
            for part in bytes.chunks(16) {
                if client.write_all(part).await.is_err() {
                    return false;
                }
                tokio::task::yield_now().await;
            }
            true
        }
        Trouble::Truncated => {
            let _ = client.write_all(&bytes[..bytes.len().min(REPLY_BYTES) / 2]).await;
            false
        }
        Trouble::Noise => client.write_all(b"\x00\xffHTTP/1.1 200 OK\r\n$-7\r\n").await.is_ok(),
        Trouble::Oversized => client.write_all(b"$536870912\r\n0000").await.is_ok(),
    }
}
