//! Decides how a routing test sets its scene: a catalogue, a router, a request, an instant.
//! Does not assert anything.

#![expect(unreachable_pub, reason = "a module of several test binaries")]
#![allow(dead_code, reason = "each test file uses its own part of the stage")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use p402_core::catalog::Catalog;
use p402_core::config;
use p402_core::envelope::{Scan, scan};
use p402_core::id::RequestId;
use p402_core::route::{Ask, Options, Plan, Refusal, Router, Rules, Table, World};
use p402_core::time::{Now, Ticks, Timestamp};
use serde_json::json;

pub const NINE: &[u8] = include_bytes!("../fixtures/nine_names.jsonl");
/// A Friday inside DeepSeek's peak.
pub const PEAK: &str = "2026-11-20T02:00:00Z";
/// A Saturday: off-peak all day.
pub const OFF_PEAK: &str = "2026-11-21T12:00:00Z";

/// A catalogue with its table: what stays still between requests.
pub struct Stage {
    pub catalog: Catalog,
    pub table: Table,
    pub rules: Rules,
    pub config: config::Routing,
    pub at: Timestamp,
}

/// One request, owned.
pub struct Request {
    pub body: Vec<u8>,
    pub scan: Scan,
    pub options: Options,
    pub id: u128,
}

impl Stage {
    pub fn new(bytes: &[u8]) -> Self {
        Self::keyed(bytes, &|_| true)
    }
    pub fn keyed(bytes: &[u8], keyed: &dyn Fn(&str) -> bool) -> Self {
        let catalog = Catalog::load(&[bytes]).unwrap();
        let config = config::Routing::default();
        let table = Table::build(&catalog, keyed, &config);
        let at = Timestamp::parse_rfc3339(PEAK).unwrap();
        Self { catalog, table, rules: Rules::default(), config, at }
    }
    pub fn nine() -> Self {
        Self::new(NINE)
    }
    /// One model at `count` providers `p0`, `p1`, … of equal price.
    pub fn endpoints(count: usize) -> Self {
        let header =
            json!({"t":"header","schema":1,"date":"2026-11-22","inputs":{},"attributions":[]});
        let mut lines = vec![
            header.to_string(),
            json!({"t":"capability","model":"m","effort":"best","scores":[60,60,60,60,60,60,60,60,60],
                "conf":[1,1,1,1,1,1,1,1,1],"basis":"L"})
            .to_string(),
        ];
        for at in 0..count {
            let id = format!("p{at}");
            lines.push(
                json!({"t":"provider","id":id,"kind":"inference_host","dialect":"openai",
                    "base_url":"https://api.acme.example/v1","auth":"bearer","env":["A_KEY"],
                    "routable":true,"flags":[]})
                .to_string(),
            );
            lines.push(
                json!({"t":"offer","provider":id,"model":"m","context":100_000,"max_output":10_000,
                    "modalities":["text"],"tools":true,"structured":true,"reasoning":false,
                    "prices":[{"bands":[{"above":0,"in":1_000_000,"out":2_000_000}]}],
                    "capability":{"model":"m","match":"exact"},"source":"test","as_of":"2026-11",
                    "n_agree":2,"confidence":"agree"})
                .to_string(),
            );
        }
        Self::new(lines.join("\n").as_bytes())
    }
    pub fn world(&self) -> World<'_> {
        World { catalog: &self.catalog, table: &self.table, rules: &self.rules }
    }
    pub fn router(&self) -> Router {
        Router::new(&self.config, &config::Timeouts::default())
    }
    pub fn now(&self, ms: u64) -> Now {
        let micros = self.at.micros() + i64::try_from(ms).unwrap() * 1_000;
        Now { utc: Timestamp::from_micros(micros), ticks: Ticks::from_micros(1 + ms * 1_000) }
    }
    pub fn offer(&self, name: &str) -> usize {
        (0..self.catalog.offers.len()).find(|at| self.catalog.offer_name(*at) == name).unwrap()
    }
    pub fn plan(&self, request: &Request) -> Result<Plan, Refusal> {
        self.router().plan(&self.world(), &request.ask(), self.now(0))
    }
    /// The plan's models, best first.
    pub fn models(&self, plan: &Plan) -> Vec<String> {
        plan.attempts.iter().map(|a| self.catalog.offers[a.offer].model.to_string()).collect()
    }
    pub fn first(&self, request: &Request) -> String {
        self.models(&self.plan(request).unwrap()).swap_remove(0)
    }
}

impl Request {
    pub fn new(body: &serde_json::Value) -> Self {
        let body = body.to_string().into_bytes();
        let scan = scan(&body).unwrap();
        Self { body, scan, options: Options::default(), id: 7 }
    }
    /// A one-message request of so many OpenAI tokens, as easy as can be.
    pub fn sized(tokens: usize) -> Self {
        // Base 6 and one message 4; four bytes a token.
        let text = "simple ".repeat(tokens).chars().take((tokens - 10) * 4).collect::<String>();
        Self::new(&json!({
            "model": "auto", "messages": [{"role": "user", "content": text}],
        }))
    }
    pub fn says(text: &str) -> Self {
        Self::new(&json!({
            "model": "auto", "messages": [{"role": "user", "content": text}],
        }))
    }
    pub fn with(mut self, p402: &str) -> Self {
        self.options = Options::read(Some(p402.as_bytes()), &[]).unwrap();
        self
    }
    pub fn ask(&self) -> Ask<'_> {
        self.ask_as(self.id)
    }
    pub fn ask_as(&self, id: u128) -> Ask<'_> {
        Ask {
            request: RequestId::new(Timestamp::from_micros(0), id),
            tenant: "default",
            body: &self.body,
            scan: &self.scan,
            options: &self.options,
        }
    }
}
