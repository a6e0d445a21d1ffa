//! Forwards a committed stream frame by frame and ends it truthfully: sealed, or by an error frame.
//! Does not choose upstreams (dispatch.rs) nor mend frames (core's dialect/openai).

use crate::dispatch::{BegunStream, Busy};
use crate::emit::Ended;
use crate::exchange::remember;
use crate::keeping::{Copied, keep};
use crate::outbox::Outbox;
use crate::settling::{Settled, Settling};
use crate::transport::{TransportError, WireBody};
use crate::turn::{Served, Used, name};
use bytes::Bytes;
use p402_core::claim::with_fee;
use p402_core::dialect::openai::{ChatStream, Seal, StreamFault};
use p402_core::reply::{ApiError, Code, scrub, shutting_down};
use p402_core::route::Outcome;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

/// A comment that every SSE reader skips (compat.md § 4.2).
pub const KEEPALIVE: &[u8] = b": p402\n\n";
/// After the seal the upstream's last bytes are read for this long, so its connection is reused.
const TAIL_WAIT: Duration = Duration::from_millis(200);
/// Text between two looks at what it has cost.
const METER_BYTES: u64 = 4_096;
/// Chunks taken in a row before others have their turn and the reader gets what is there.
const RUN_MAX: u32 = 32;

/// A committed stream on its way.
#[derive(Debug)]
pub struct Pump {
    served: Served,
    body: WireBody,
    stream: Box<ChatStream>,
    busy: Busy,
    settling: Settling,
    outbox: Arc<Outbox>,
    /// What the client was given, where the answer may be stored.
    copied: Copied,
    /// Text beyond this has not been compared with the hold.
    metered_bytes: u64,
}

/// What happened next.
enum Event {
    Chunk(Bytes),
    Ended,
    Failed,
    /// The timer fired: silence has lasted long enough to look at the clock.
    Quiet,
    ReaderLeft,
    Closing,
}

/// Why a stream stops before its regular end.
enum Stop {
    Fault(StreamFault),
    Idle,
    Total,
    /// The client is gone and its answer is not worth, or not allowed, further reading.
    Abandoned,
    ShuttingDown,
    /// The answer costs more than is held, and no more may be held.
    Exhausted(Box<ApiError>),
}

/// The clock of one stream: what silence means and when.
struct Watch {
    started: Instant,
    heard: Instant,
    commented: Instant,
    timer: std::pin::Pin<Box<Sleep>>,
}

impl Pump {
    pub fn new(
        served: Served,
        begun: Box<BegunStream>,
        settling: Settling,
        outbox: Arc<Outbox>,
    ) -> Self {
        let BegunStream { body, stream, busy } = *begun;
        let copied = Copied::of(settling.shelve.as_ref());
        Self { served, body, stream, busy, settling, outbox, copied, metered_bytes: METER_BYTES }
    }

    /// Runs the stream to its end. Exactly one of `settle`, `fail_stream` is called.
    pub async fn run(mut self) {
        let began = self.settling.turn.node.clock.now().ticks;
        self.give();
        let stop = self.forward().await;
        let now = self.settling.turn.node.clock.now();
        self.settling.provider_us += now.ticks.since(began);
        match stop {
            Ok(()) => self.seal().await,
            Err(stop) => self.fail(&stop).await,
        }
    }

    async fn forward(&mut self) -> Result<(), Stop> {
        let tick_ms = self.settling.turn.world.config.stream.usage_wait_ms.clamp(50, 1_000);
        let mut watch = Watch::new(Duration::from_millis(tick_ms));
        let mut drain = None;
        let mut run = 0;
        loop {
            if self.stream.ready() {
                self.give();
                return Ok(());
            }
            if !self.outbox.gone() && self.outbox.full() {
                self.wait_for_reader().await;
            }
            let gone = drain.is_some();
            let event = if let Some(event) = self.at_hand() {
                event
            } else {
                // What came together leaves together: the reader is woken once, before a wait.
                self.give();
                self.next(&mut watch, gone).await
            };
            match event {
                Event::Chunk(bytes) => {
                    watch.heard = Instant::now();
                    self.stream.push(&bytes).map_err(Stop::Fault)?;
                    if self.stream.text_bytes() > self.metered_bytes {
                        self.meter().await?;
                    }
                    run += 1;
                    if run == RUN_MAX {
                        run = 0;
                        self.give();
                        tokio::task::yield_now().await;
                    }
                }
                Event::Ended => {
                    self.stream.end().map_err(Stop::Fault)?;
                    self.give();
                    return Ok(());
                }
                Event::Failed if self.stream.finishing() => return Ok(()),
                Event::Failed => return Err(Stop::Fault(StreamFault::Cut)),
                Event::Quiet => {
                    if self.quiet(&mut watch)? {
                        return Ok(());
                    }
                }
                Event::ReaderLeft => {
                    self.settling.disconnected = true;
                    drain = Some(self.may_drain()?);
                    // From here the whole drain has its own, shorter life.
                    watch.started = Instant::now();
                }
                Event::Closing => return Err(Stop::ShuttingDown),
            }
        }
    }

    /// Compares what the text has cost so far with the hold, which grows ahead of it if it may.
    async fn meter(&mut self) -> Result<(), Stop> {
        let text_bytes = self.stream.text_bytes();
        self.metered_bytes = text_bytes + METER_BYTES;
        let settling = &mut self.settling;
        let ahead = settling.metered(self.served.offer, self.served.sent, self.metered_bytes);
        let fee_bps = settling.turn.world.config.pricing.platform_fee_bps;
        let needed = settling.wasted.saturating_add(with_fee(ahead, fee_bps));
        settling.cover(needed).await.map_err(|error| Stop::Exhausted(Box::new(error)))
    }

    /// The right to read on, unheard, to the usage; none where there is no bill to know, or where
    /// as many are being read already as this node allows.
    fn may_drain(&self) -> Result<OwnedSemaphorePermit, Stop> {
        let turn = &self.settling.turn;
        let offer = turn.world.catalog.offers.get(self.served.offer);
        if offer.is_some_and(|offer| offer.free) {
            return Err(Stop::Abandoned);
        }
        turn.drain().ok_or(Stop::Abandoned)
    }

    /// Hands over what may leave now.
    fn give(&mut self) {
        if let Some(bytes) = self.stream.take_output() {
            self.copied.add(&bytes);
            self.outbox.push(&bytes);
        }
    }

    /// What the upstream has sent already, without waiting for it.
    fn at_hand(&mut self) -> Option<Event> {
        if self.settling.turn.node.closed.load(Ordering::Acquire) {
            return Some(Event::Closing);
        }
        // Nobody needs to be woken by this look: whoever waits asks again with a waker of its own.
        let mut look = Context::from_waker(Waker::noop());
        match pin!(self.body.chunk()).poll(&mut look) {
            Poll::Ready(chunk) => Some(Event::from(chunk)),
            Poll::Pending => None,
        }
    }

    async fn next(&mut self, watch: &mut Watch, gone: bool) -> Event {
        let node = Arc::clone(&self.settling.turn.node);
        let closing = node.closing.notified();
        if node.closed.load(Ordering::Acquire) {
            return Event::Closing;
        }
        tokio::select! {
            biased;
            chunk = self.body.chunk() => Event::from(chunk),
            () = self.outbox.until_gone(), if !gone => Event::ReaderLeft,
            () = closing => Event::Closing,
            () = &mut watch.timer => Event::Quiet,
        }
    }

    /// Silence: sends a comment, gives up, or waits on. `true` = seal without the upstream's usage.
    fn quiet(&mut self, watch: &mut Watch) -> Result<bool, Stop> {
        let config = &self.settling.turn.world.config;
        let (stream, timeouts) = (&config.stream, &config.timeouts);
        let now = Instant::now();
        let silent = now.duration_since(watch.heard);
        if self.stream.finishing() {
            if silent >= Duration::from_millis(stream.usage_wait_ms) {
                return Ok(true);
            }
            watch.arm(watch.heard + Duration::from_millis(stream.usage_wait_ms));
            return Ok(false);
        }
        let whole_ms = if self.outbox.gone() { stream.drain_ms } else { timeouts.total_ms };
        if now.duration_since(watch.started) >= Duration::from_millis(whole_ms) {
            return Err(if self.outbox.gone() { Stop::Abandoned } else { Stop::Total });
        }
        if silent >= Duration::from_millis(timeouts.idle_ms) {
            return Err(Stop::Idle);
        }
        let first = Duration::from_millis(stream.keepalive_first_ms);
        let every = Duration::from_millis(stream.keepalive_ms);
        let due = if watch.commented > watch.heard {
            watch.commented + every
        } else {
            watch.heard + first
        };
        if now >= due && !self.outbox.gone() {
            self.outbox.comment(KEEPALIVE);
            watch.commented = now;
        }
        watch.arm(now + Duration::from_millis(stream.usage_wait_ms.clamp(50, 1_000)));
        Ok(false)
    }

    /// A reader that takes nothing for `slow_reader_ms` counts as gone.
    async fn wait_for_reader(&self) {
        let slow = Duration::from_millis(self.settling.turn.world.config.stream.slow_reader_ms);
        if tokio::time::timeout(slow, self.outbox.until_room()).await.is_err() {
            self.outbox.leave();
        }
    }

    fn used(&self) -> Used {
        Used {
            reported: self.stream.reported().copied().filter(|_| !self.stream.usage_fault()),
            absurd: self.stream.usage_absurd(),
            text_bytes: self.stream.text_bytes(),
            service_tier: self.stream.service_tier().map(str::to_owned),
        }
    }

    async fn seal(mut self) {
        remember(&self.settling.turn, self.stream.kept().as_ref());
        let used = self.used();
        let now = self.settling.turn.node.clock.now();
        if let Some(reported) = &used.reported {
            self.busy.counted(&reported.usage);
        }
        self.busy.verdict(Outcome::Success, now);
        let settled = self.settling.settle(&self.served, &used, now);
        self.written(&settled).await;
        let bytes = self.stream.seal(&Seal {
            metadata: &settled.metadata,
            metadata_again: &settled.metadata,
            cost: settled.cost,
            usage: &settled.usage,
        });
        self.copied.add(&bytes);
        self.outbox.last(&bytes);
        keep(&mut self.settling, &self.served, self.copied.take(), &settled);
        let tail = async { while let Some(Ok(_)) = self.body.chunk().await {} };
        // Past the bound the connection is closed instead of reused; the reply is out already.
        drop(tokio::time::timeout(TAIL_WAIT, tail).await);
    }

    /// The ledger has the row before the last byte leaves.
    async fn written(&self, settled: &Settled) {
        if let Some(mark) = settled.mark {
            self.settling.turn.durable(mark).await;
        }
    }

    async fn fail(mut self, stop: &Stop) {
        let now = self.settling.turn.node.clock.now();
        let used = self.used();
        if matches!(stop, Stop::Abandoned) {
            // Nobody listens: what was delivered is metered, counted and booked as estimated.
            self.settling.settle(&self.served, &used, now);
            self.outbox.end();
            return;
        }
        if !matches!(stop, Stop::ShuttingDown | Stop::Exhausted(_)) {
            self.busy.verdict(Outcome::Failure, now);
            let turn = &self.settling.turn;
            let ms = now.ticks.since(self.served.sent.ticks) / 1_000;
            let ended = Ended { offer: self.served.offer, outcome: stop.name(), status: 200, ms };
            turn.node.emit.stream_broke(&turn.world.catalog, turn.id, ended);
            turn.node.traffic.broke(name(&turn.world.catalog, self.served.offer));
        }
        // Whole frames that came before the fault are still true.
        self.give();
        let error = stop.error();
        let failed = if matches!(stop, Stop::Exhausted(_)) {
            // What came was delivered in full: it was the tenant's own money that ended.
            self.settling.settle(&self.served, &used, now)
        } else {
            self.settling.fail_stream(&self.served, &used, now)
        };
        self.written(&failed).await;
        let mut object = Vec::new();
        error.write(&mut object, self.settling.turn.id);
        let frame = ChatStream::error_frame(&object, Some(&failed.metadata));
        self.outbox.last(&frame);
    }
}

impl From<Option<Result<Bytes, TransportError>>> for Event {
    fn from(chunk: Option<Result<Bytes, TransportError>>) -> Self {
        match chunk {
            Some(Ok(bytes)) => Self::Chunk(bytes),
            Some(Err(_)) => Self::Failed,
            None => Self::Ended,
        }
    }
}

impl Watch {
    fn new(tick: Duration) -> Self {
        let now = Instant::now();
        let timer = Box::pin(sleep_until(now + tick));
        Self { started: now, heard: now, commented: now, timer }
    }

    fn arm(&mut self, at: Instant) {
        self.timer.as_mut().reset(at);
    }
}

impl Stop {
    fn name(&self) -> &'static str {
        match self {
            Self::Fault(StreamFault::Cut) => "cut",
            Self::Fault(StreamFault::Malformed(_) | StreamFault::TooLarge) => "malformed",
            Self::Fault(StreamFault::Upstream(_)) => "error",
            Self::Idle => "idle",
            Self::Total => "timeout",
            Self::Abandoned => "abandoned",
            Self::ShuttingDown => "shutting_down",
            Self::Exhausted(_) => "exhausted",
        }
    }

    fn error(&self) -> ApiError {
        let (code, text) = match self {
            Self::Fault(StreamFault::Cut) => {
                (Code::UpstreamStreamCut, "the upstream ended the stream before its answer did")
            }
            Self::Fault(StreamFault::Malformed(_) | StreamFault::TooLarge) => {
                (Code::UpstreamStreamMalformed, "the upstream sent an event that cannot be read")
            }
            Self::Fault(StreamFault::Upstream(error)) => {
                return ApiError::new(Code::UpstreamError, scrub(&error.message));
            }
            Self::Idle => (Code::UpstreamStreamCut, "the upstream fell silent"),
            Self::Total => (Code::UpstreamTimeout, "the answer took longer than allowed"),
            Self::Abandoned => (Code::UpstreamStreamCut, "the client left"),
            Self::ShuttingDown => return shutting_down(),
            Self::Exhausted(error) => return (**error).clone(),
        };
        ApiError::new(code, text)
    }
}
