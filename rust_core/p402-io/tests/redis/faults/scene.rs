//! One node under steady load before, during and after a fault, and what it must have kept.
//! Does not cause the fault; the scenario does, between two stretches of load.

use crate::nodes::stored;
use crate::rig::{ADDED_MAX, End, Node, World, capped};
use crate::server::Server;
use p402_io::store::Store;
use p402_io::store::redis::Notice;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, interval, sleep, sleep_until};

/// What one request costs.
pub(crate) const PRICE: i64 = 1_000;
/// About 225 decisions a second.
const EVERY: Duration = Duration::from_micros(4_444);
const CONVERGED: Duration = Duration::from_secs(1);
/// Until what is owed is paid, and until a cap is met: with ten milliseconds a trip, on a machine
/// that may be busy, the store is away most of the time. What is paid is under test, not when.
pub(crate) const SETTLED: Duration = Duration::from_mins(1);
const LINES_MAX: usize = 5;
/// What did not happen took this long.
const NEVER: Duration = Duration::from_hours(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Since the scene began.
    pub(crate) at: Duration,
    pub(crate) end: End,
    pub(crate) took: Duration,
}

pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) world: World,
    pub(crate) node: Arc<Node>,
    samples: Arc<Mutex<Vec<Sample>>>,
    began: Instant,
    /// How late the machine itself was with its timers, at worst.
    lag: Arc<Mutex<Duration>>,
    faulted: Duration,
    healed: Duration,
    cap: i64,
}

/// What a scene came to.
pub(crate) struct Report {
    pub(crate) samples: Vec<Sample>,
    faulted: Duration,
    healed: Duration,
    notices: Vec<Notice>,
    lag: Duration,
}

impl Scene {
    /// `requests` is how many the cap bears.
    pub(crate) async fn open(server: Server, requests: i64, url: Option<String>) -> Self {
        let (world, cap) = (World::new(), requests * PRICE);
        let url = url.unwrap_or_else(|| format!("redis://127.0.0.1:{}", server.port()));
        let node = Arc::new(world.node(&url, 1, capped(cap)).await);
        // A scene in which nothing was ever asked proves nothing.
        node.back(SETTLED).await;
        let (samples, lag) = (Arc::default(), Arc::default());
        let began = Instant::now();
        let scene = Self {
            server,
            world,
            node,
            samples,
            began,
            lag,
            faulted: Duration::ZERO,
            healed: Duration::ZERO,
            cap,
        };
        scene.load(Duration::from_millis(400)).await;
        scene
    }

    /// Requests at a steady rate, whether or not earlier ones have ended.
    pub(crate) async fn load(&self, lasting: Duration) {
        let until = Instant::now() + lasting;
        let watch = tokio::spawn(lateness(self.lag.clone()));
        let mut due = interval(EVERY);
        let mut open = Vec::new();
        while Instant::now() < until {
            due.tick().await;
            let (node, samples) = (self.node.clone(), self.samples.clone());
            let at = self.began.elapsed();
            open.push(tokio::spawn(async move {
                let (end, took) = node.request(PRICE).await;
                samples.lock().unwrap().push(Sample { at, end, took });
            }));
        }
        for request in open {
            request.await.unwrap();
        }
        watch.abort();
    }

    /// Load until the cap is reached: all of it can be spent, whatever happened before.
    pub(crate) async fn until_refused(&self) {
        let end = Instant::now() + SETTLED;
        let refused = |sample: &Sample| matches!(sample.end, End::Refused(_));
        while !self.samples.lock().unwrap().iter().any(refused) {
            assert!(Instant::now() < end, "{} billed of {}", self.world.billed(), self.cap);
            self.load(Duration::from_millis(100)).await;
        }
    }

    /// The fault begins.
    pub(crate) fn fault(&mut self) {
        self.faulted = self.began.elapsed();
    }

    /// The fault is over.
    pub(crate) fn heal(&mut self) {
        self.healed = self.began.elapsed();
    }

    /// What holds after every fault: no nano over the cap, none lost, none held for nobody, no
    /// request kept waiting, the operator told in few lines, and all of it soon.
    pub(crate) async fn judge(self) -> Report {
        self.load(Duration::from_millis(1_200)).await;
        let mut samples = self.samples.lock().unwrap().clone();
        samples.sort_by_key(|sample| sample.at);
        let (faulted, healed, notices) = (self.faulted, self.healed, self.node.lines());
        let lag = *self.lag.lock().unwrap();
        let report = Report { samples, faulted, healed, notices, lag };
        report.tell();
        timely(report.converged(), CONVERGED);
        timely(report.worst(), ADDED_MAX);
        report.judge_lines();
        self.settled().await;
        report
    }

    /// Leaves in good order: what Redis counts is what the provider billed, and nothing is held.
    async fn settled(&self) {
        let billed = self.world.billed();
        assert!(billed <= self.cap, "{billed} over {}", self.cap);
        let end = Instant::now() + SETTLED;
        loop {
            self.node.store.leave().await;
            // A node that doubts the account has it read anew, and takes it away meanwhile.
            let header = stored(&self.server).map(|account| *account.header());
            let counted = header.map(|header| (header.day_spent, header.held, header.in_flight));
            if counted == Some((billed, 0, 0)) {
                return;
            }
            assert!(Instant::now() < end, "{billed} billed, but {header:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// An administrator's command.
    pub(crate) fn command(&self, words: &[&str]) {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let _: redis::Value = command.query(&mut self.server.connect()).unwrap();
    }
}

/// A figure that is promised. Where others use the machine, too, nobody can keep it: it is held to
/// the letter by `make faults`, which says that the machine is quiet.
pub(crate) fn timely(figure: Duration, most: Duration) {
    let quiet = std::env::var_os("P402_QUIET").is_some();
    assert!(!quiet || figure <= most, "{figure:?}, not {most:?}");
}

/// The same of a number.
pub(crate) fn few(figure: usize, most: usize) {
    let quiet = std::env::var_os("P402_QUIET").is_some();
    assert!(!quiet || figure <= most, "{figure}, not {most}");
}

/// How late the machine is with its timers at worst; one millisecond is their own grain.
async fn lateness(worst: Arc<Mutex<Duration>>) {
    loop {
        let due = Instant::now() + Duration::from_millis(1);
        sleep_until(due).await;
        let late = due.elapsed().saturating_sub(Duration::from_millis(1));
        let mut worst = worst.lock().unwrap();
        *worst = late.max(*worst);
    }
}

impl Report {
    #[expect(clippy::print_stdout, reason = "a scenario tells its figures")]
    fn tell(&self) {
        let ms = |span: Duration| (span.as_micros() as f64 / 1e3).round();
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default().rsplit("::").next().unwrap_or_default();
        let (opened, closed) = (ms(self.opened()), ms(self.closed()));
        let (converged, worst, lag) = (ms(self.converged()), ms(self.worst()), ms(self.lag));
        let (slow, local, all, away) = (self.slow(), self.local(), self.samples.len(), self.away());
        println!(
            "{name:.3} opened {opened} closed {closed} converged {converged} worst {worst} \
             lag {lag} slow {slow} local {local} of {all} away {away}"
        );
    }

    /// One line for each change. How many changes there are is the machine's affair, too.
    fn judge_lines(&self) {
        few(self.notices.len(), LINES_MAX);
        let is_back = |notice: &Notice| *notice == Notice::Back;
        let twice = self.notices.windows(2).any(|two| is_back(&two[0]) == is_back(&two[1]));
        assert!(!twice, "{:?}", self.notices);
    }

    /// The longest admission, less what the machine itself was late.
    pub(crate) fn worst(&self) -> Duration {
        let longest = self.samples.iter().map(|sample| sample.took).max().unwrap_or_default();
        longest.saturating_sub(self.lag)
    }

    /// From the end of the fault to the first of twenty decisions in a row.
    fn converged(&self) -> Duration {
        let after: Vec<_> = self.samples.iter().filter(|sample| sample.at >= self.healed).collect();
        let own = |sample: &&Sample| matches!(sample.end, End::Served | End::Refused(_));
        let steady = after.windows(20).find(|row| row.iter().all(own));
        since(self.healed, steady.map(|row| row[0]))
    }

    /// Requests that found neither the store nor a slice.
    pub(crate) fn local(&self) -> usize {
        let own = |sample: &&Sample| matches!(sample.end, End::Served | End::Refused(_));
        self.samples.len() - self.samples.iter().filter(own).count()
    }

    /// Admissions that took more than half of the deadline, beyond the machine's own lag.
    pub(crate) fn slow(&self) -> usize {
        let half = crate::rig::DEADLINE / 2 + self.lag;
        self.samples.iter().filter(|sample| sample.took > half).count()
    }

    /// From the fault to the first request that was turned away without asking.
    pub(crate) fn opened(&self) -> Duration {
        let known = |sample: &&Sample| {
            let local = matches!(sample.end, End::Drawn | End::Unavailable(_));
            sample.at >= self.faulted && local && sample.took < Duration::from_millis(1)
        };
        since(self.faulted, self.samples.iter().find(known))
    }

    /// From the end of the fault to the first request that the store decided.
    pub(crate) fn closed(&self) -> Duration {
        let own = |sample: &&Sample| {
            sample.at >= self.healed && matches!(sample.end, End::Served | End::Refused(_))
        };
        since(self.healed, self.samples.iter().find(own))
    }

    /// Decisions between the fault and its end; nothing was under way when it came.
    pub(crate) fn served_during(&self) -> usize {
        let during = |sample: &&Sample| (self.faulted..self.healed).contains(&sample.at);
        let own = |sample: &&Sample| matches!(sample.end, End::Served | End::Refused(_));
        self.samples.iter().filter(during).filter(own).count()
    }

    /// Whether the store was ever away for this reason.
    pub(crate) fn is_told_of(&self, why: &str) -> bool {
        let of = |notice: &Notice| matches!(notice, Notice::Away(told) if told.contains(why));
        self.notices.iter().any(of)
    }

    pub(crate) fn away(&self) -> usize {
        self.notices.iter().filter(|notice| matches!(notice, Notice::Away(_))).count()
    }
}

fn since(from: Duration, found: Option<&Sample>) -> Duration {
    found.map_or(NEVER, |sample| sample.at.saturating_sub(from))
}
