//! Shows that a conversation keeps its model while that pays, and leaves it when it does not.
//! Does not test how a first turn is routed (route.rs).

#![expect(clippy::float_cmp, reason = "a session hands on the very same bits")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

mod stage;

use p402_core::catalog::Charge;
use p402_core::route::{Mode, Observation, Outcome, Plan, Router, SessionState, TypingSource};
use p402_core::usage::Usage;
use serde_json::{Value, json};
use stage::{Request, Stage};

/// A client, its gateway and a clock.
struct Talk {
    stage: Stage,
    router: Router,
    messages: Vec<Value>,
    tools: bool,
    p402: String,
    ms: u64,
}

impl Talk {
    fn new(p402: &str) -> Self {
        let stage = Stage::nine();
        let router = stage.router();
        Self { stage, router, messages: Vec::new(), tools: false, p402: p402.to_owned(), ms: 0 }
    }
    fn user(&mut self, text: &str) {
        self.messages.push(json!({"role": "user", "content": text}));
    }
    fn request(&self) -> Request {
        let mut body = json!({"model": "auto", "messages": self.messages});
        if self.tools {
            body["tools"] =
                json!([{"type": "function", "function": {"name": "run", "parameters": {}}}]);
        }
        Request::new(&body).with(&self.p402)
    }
    fn plan(&mut self) -> Plan {
        let request = self.request();
        let now = self.stage.now(self.ms);
        self.router.plan(&self.stage.world(), &request.ask(), now).unwrap()
    }
    /// Plans a turn, serves it by its first attempt and goes ten seconds on.
    fn turn(&mut self) -> (String, Plan) {
        let plan = self.plan();
        let request = self.request();
        let now = self.stage.now(self.ms);
        self.router.served(&request.ask(), &plan, (0, plan.input_tokens), now);
        self.ms += 10_000;
        (self.stage.models(&plan).swap_remove(0), plan)
    }
}

#[test]
fn an_agent_loop_of_thirty_turns_keeps_its_model_and_effort() {
    for mode in Mode::ALL {
        let mut talk = Talk::new(&format!(r#"{{"mode": "{}"}}"#, mode.name()));
        talk.tools = true;
        talk.user("Fix the failing test in this repository, please.");
        let (model, first) = talk.turn();
        assert_eq!(first.session, SessionState::New);
        for turn in 0..30 {
            let call = json!({"id": format!("c{turn}"), "type": "function",
                "function": {"name": "run", "arguments": "{}"}});
            talk.messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
            let output = ["yes", "error: integral of x^2 dx", "Once upon a time"][turn % 3];
            talk.messages.push(
                json!({"role": "tool", "tool_call_id": format!("c{turn}"), "content": output}),
            );
            let (next, plan) = talk.turn();
            assert_eq!(next, model, "{mode:?} turn {turn}");
            assert_eq!(plan.session, SessionState::Held);
            assert_eq!(plan.attempts[0].effort, first.attempts[0].effort);
        }
    }
}

#[test]
fn health_alone_breaks_a_tool_loop() {
    let mut talk = Talk::new(r#"{"mode": "quality"}"#);
    talk.tools = true;
    talk.user("Fix the failing test in this repository.");
    let (model, plan) = talk.turn();
    for _ in 0..5 {
        let start = plan.start(0, 1, true).unwrap();
        let now = talk.stage.now(talk.ms);
        let Some(permit) = talk.router.begin(&talk.stage.world(), &start, now) else { break };
        let seen = Observation {
            permit,
            outcome: Outcome::Failure,
            ttft_ms: None,
            total_ms: 5,
            input_tokens: None,
            output_tokens: None,
        };
        talk.router.observe(&seen, now);
    }
    talk.messages.push(json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "c", "type": "function", "function": {"name": "run", "arguments": "{}"}}]}));
    talk.messages.push(json!({"role": "tool", "tool_call_id": "c", "content": "ok"}));
    let (next, plan) = talk.turn();
    assert_ne!(next, model);
    assert_eq!(plan.session, SessionState::Moved);
}

#[test]
fn a_topic_change_moves_it() {
    // Cost mode: a chat at the cheapest, then a proof that its floor no longer lets pass.
    let mut talk = Talk::new(r#"{"mode": "quality", "session_id": "s"}"#);
    talk.p402 = r#"{"mode": "quality", "session_id": "s", "task": "creative"}"#.to_owned();
    talk.user("Write a haiku about the sea.");
    let (creative, _) = talk.turn();
    talk.messages.push(json!({"role": "assistant", "content": "Waves."}));
    talk.user("Now a rigorous proof that this algorithm is optimal, with code in Rust.");
    talk.p402 = r#"{"mode": "quality", "session_id": "s", "task": "agentic"}"#.to_owned();
    let (agentic, plan) = talk.turn();
    assert_ne!(creative, agentic);
    assert_eq!(plan.session, SessionState::Moved);
}

#[test]
fn assent_inherits_the_task_and_difficulty() {
    let mut talk = Talk::new(r#"{"mode": "cost"}"#);
    talk.user(
        "Analyze this complex distributed algorithm and prove the theorem about its invariant.",
    );
    let (model, first) = talk.turn();
    for word in ["yes", "continue", "ok, go on", "weiter", "sí", "继续"] {
        talk.messages.push(json!({"role": "assistant", "content": "Shall I go on?"}));
        talk.user(word);
        let (next, plan) = talk.turn();
        assert_eq!(plan.typing.source, TypingSource::Session, "{word}");
        assert_eq!(plan.typing.probabilities, first.typing.probabilities);
        assert!((plan.typing.difficulty - first.typing.difficulty).abs() < 1e-6);
        assert_eq!(next, model, "{word}");
    }
}

#[test]
fn moving_a_warm_prefix_must_pay() {
    // Vector E of the catalogue's design: 100,000 tokens warm on the dear model.
    let stage = Stage::nine();
    let (opus, haiku) =
        (stage.offer("anthropic/claude-opus-4-6"), stage.offer("anthropic/claude-haiku-4-5"));
    let price = |offer: usize, usage: &Usage| {
        let charge = Charge { usage, at: stage.at, service: None, fee_ppm: 0 };
        stage.catalog.price(offer, &charge).upstream
    };
    let stay = Usage { fresh: 500, cache_read: 100_000, output: 800, ..Usage::default() };
    let go = Usage { fresh: 500, cache_write: 100_000, output: 800, ..Usage::default() };
    assert!(price(opus, &stay) < price(haiku, &go));

    let mut talk = Talk::new(
        r#"{"mode": "cost", "session_id": "e", "task": "chat",
            "models": ["claude-opus-4-6", "claude-haiku-4-5"]}"#,
    );
    talk.user(&"simple ".repeat(50_000));
    let plan = talk.plan();
    let at = |name: usize| plan.attempts.iter().position(|a| a.offer == name);
    let request = talk.request();
    let now = talk.stage.now(0);
    // The last turn was Opus's (say a hard one); its prefix is warm there.
    talk.router.served(&request.ask(), &plan, (at(opus).unwrap(), plan.input_tokens), now);
    talk.messages.push(json!({"role": "assistant", "content": "Done."}));
    talk.user("One more simple thing?");
    talk.ms = 60_000;
    let (warm, held) = talk.turn();
    assert_eq!((warm.as_str(), held.session), ("claude-opus-4-6", SessionState::Held));
    assert!(held.warm.unwrap().1 > 80_000);
    assert!(held.attempts[0].expected < price(haiku, &go));
    // Ten minutes later nothing is warm any more, and the cheaper model it is.
    let mut cold = Talk::new(&talk.p402);
    cold.messages.clone_from(&talk.messages);
    cold.router.served(&request.ask(), &plan, (at(opus).unwrap(), plan.input_tokens), now);
    cold.ms = 600_000;
    assert_eq!(cold.turn().0, "claude-haiku-4-5");
}

#[test]
fn sessions_end_are_told_apart_and_keep_to_their_tenant() {
    let mut talk = Talk::new(r#"{"mode": "quality", "session_id": "s", "task": "creative"}"#);
    talk.user("Write a story.");
    talk.turn();
    assert_eq!(talk.plan().session, SessionState::Held);
    let request = talk.request();
    let mut other = request.ask();
    other.tenant = "another";
    let now = talk.stage.now(talk.ms);
    let plan = talk.router.plan(&talk.stage.world(), &other, now).unwrap();
    assert_eq!(plan.session, SessionState::New);
    talk.ms += 3_600_001;
    assert_eq!(talk.plan().session, SessionState::New);
}

#[test]
fn a_first_turn_holds_nothing_and_another_mode_is_another_wish() {
    let mut talk = Talk::new(r#"{"mode": "cost"}"#);
    talk.user("hello");
    let (cheap, _) = talk.turn();
    talk.p402 = r#"{"mode": "quality"}"#.to_owned();
    let (best, plan) = talk.turn();
    assert_ne!(cheap, best);
    assert_eq!(plan.session, SessionState::New);
    // By id the conversation is the same, and the wish still another.
    let mut named = Talk::new(r#"{"mode": "cost", "session_id": "s"}"#);
    named.user("hello");
    named.turn();
    named.p402 = r#"{"mode": "quality", "session_id": "s"}"#.to_owned();
    let (model, plan) = named.turn();
    assert_eq!((model, plan.session), (best, SessionState::Moved));
}

#[test]
fn a_reload_keeps_the_conversation() {
    let mut talk = Talk::new(r#"{"mode": "quality", "session_id": "s"}"#);
    talk.user("Write a story.");
    let (model, _) = talk.turn();
    let next = Stage::nine();
    talk.router.swap(&talk.stage.catalog, &next.catalog);
    talk.stage = next;
    let (again, plan) = talk.turn();
    assert_eq!((again, plan.session), (model, SessionState::Held));
}

#[test]
fn a_pin_is_no_session() {
    let mut talk = Talk::new(r#"{"mode": "quality", "session_id": "s"}"#);
    talk.user("hello");
    talk.turn();
    let request = Request::new(&json!({"model": "openai/gpt-5.4", "messages": talk.messages}));
    let now = talk.stage.now(talk.ms);
    let plan = talk.router.plan(&talk.stage.world(), &request.ask(), now).unwrap();
    assert_eq!(plan.session, SessionState::None);
    assert_eq!(talk.stage.models(&plan), ["gpt-5.4"]);
}
