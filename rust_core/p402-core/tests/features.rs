//! Shows what the structure and the words of a prompt say about its task and difficulty.
//! Does not test a trained classifier: there is none in this release.

#![expect(clippy::float_cmp, reason = "the same input gives the same bits")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

mod stage;

use p402_core::catalog::Task;
use p402_core::route::{Typing, TypingSource};
use proptest::prelude::*;
use serde_json::{Value, json};
use stage::{Request, Stage};
use std::sync::LazyLock;

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::nine);

fn typed(request: &Request) -> Typing {
    STAGE.plan(request).unwrap().typing
}

fn top(text: &str) -> Task {
    typed(&Request::says(text)).top()
}

fn share(typing: &Typing, task: Task) -> f32 {
    typing.probabilities[task as usize]
}

#[test]
fn plain_prompts_find_their_type_in_eight_languages() {
    for (text, task) in [
        ("Write a Python function that reverses a linked list.", Task::Coding),
        ("```rust\nfn main() {}\n```\nWhy does this not compile? Fix the bug.", Task::Coding),
        ("Schreibe eine Funktion, die eine Liste sortiert, in Python.", Task::Coding),
        ("写一个函数，反转链表，代码要简洁。", Task::Coding),
        ("Prove that there are infinitely many primes, then solve the equation.", Task::Math),
        ("Berechne das Integral und löse die Gleichung.", Task::Math),
        ("证明这个方程没有整数解。", Task::Math),
        ("Summarize this article in three sentences.", Task::Summarisation),
        ("Fais un résumé: résumer ce texte.", Task::Summarisation),
        ("请总结下面的文章，写一个摘要。", Task::Summarisation),
        ("Extract all entities from this invoice as JSON fields.", Task::Extraction),
        ("Classify the sentiment and label it.", Task::Extraction),
        ("Write a poem and a short story about the sea.", Task::Creative),
        ("Escribe un cuento y un poema.", Task::Creative),
        ("Escreva um conto, uma história.", Task::Creative),
        ("海についての物語を書いてください。", Task::Creative),
        ("Translate this letter and rewrite it.", Task::Instruction),
        ("Traduci questo testo.", Task::Instruction),
        ("Hi, how are you?", Task::Chat),
        ("Bonjour, merci!", Task::Chat),
    ] {
        assert_eq!(top(text), task, "{text}");
    }
}

#[test]
fn the_field_overrides_with_certainty() {
    for task in Task::ALL {
        let request = Request::says("Write code").with(&format!(r#"{{"task":"{}"}}"#, task.name()));
        let typing = typed(&request);
        assert_eq!(typing.source, TypingSource::Field);
        assert!((share(&typing, task) - 1.0).abs() < f32::EPSILON);
        assert_eq!(typing.header(), format!("{};c=1.00", task.name()));
    }
}

#[test]
fn structure_overrides_words() {
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    let call =
        json!([{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let pending = Request::new(&json!({"model": "auto", "tools": tools, "messages": [
        {"role": "user", "content": "Write a poem"},
        {"role": "assistant", "content": null, "tool_calls": call},
        {"role": "tool", "tool_call_id": "c", "content": "x"}]}));
    assert!(share(&typed(&pending), Task::Agentic) >= 0.79);
    let schema = Request::new(&json!({"model": "auto",
        "response_format": {"type": "json_schema", "json_schema": {"name": "x"}},
        "messages": [{"role": "user", "content": "Hello, tell me a story"}]}));
    assert!(share(&typed(&schema), Task::Extraction) >= 0.49);
}

#[test]
fn tool_output_and_old_messages_do_not_decide() {
    let say =
        |messages: Value| typed(&Request::new(&json!({"model": "auto", "messages": messages})));
    let typing = say(json!([
        {"role": "user", "content": "Write a poem and a story, creative fiction."},
        {"role": "assistant", "content": "def f(): pass  # code python function bug"},
        {"role": "user", "content": "Another poem, please, a haiku."},
    ]));
    assert_eq!(typing.top(), Task::Creative);
}

#[test]
fn hard_words_and_length_raise_difficulty_and_easy_ones_lower_it() {
    let difficulty = |text: &str| typed(&Request::says(text)).difficulty;
    let plain = difficulty("Explain how a queue works.");
    let hard = difficulty(
        "Derive rigorously an optimal lock-free concurrent queue, with its formal invariant.",
    );
    let easy = difficulty("Explain quickly, in a simple and short way, how a queue works.");
    assert!(hard > plain + 0.2, "{hard} {plain}");
    assert!(easy < plain, "{easy} {plain}");
    assert!(difficulty(&"word ".repeat(2_000)) > plain);
}

#[test]
fn no_single_word_moves_a_choice_by_more_than_its_weight() {
    let once = typed(&Request::says("Tell me about the code of Hammurabi"));
    let often = typed(&Request::says(&format!("Tell me about {}", "code ".repeat(300))));
    assert!(share(&often, Task::Coding) < 0.95);
    assert!(share(&once, Task::Coding) < share(&often, Task::Coding));
    let typing = typed(&Request::says(&"rigorous ".repeat(200)));
    assert!(typing.difficulty < 0.8, "{}", typing.difficulty);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_text_gives_a_distribution(text in "\\PC{0,400}", pad in 0_usize..4_000) {
        let typing = typed(&Request::says(&format!("{text}{}", "é".repeat(pad))));
        let sum: f32 = typing.probabilities.iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        prop_assert!(typing.probabilities.iter().all(|p| (0.0..=1.0).contains(p)));
        prop_assert!((0.0..=1.0).contains(&typing.difficulty));
    }

    #[test]
    fn case_does_not_matter(text in "[a-z ]{5,200}") {
        let upper = typed(&Request::says(&text.to_uppercase()));
        prop_assert_eq!(typed(&Request::says(&text)).probabilities, upper.probabilities);
    }
}
