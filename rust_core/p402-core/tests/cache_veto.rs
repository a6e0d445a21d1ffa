//! Shows which pairs each veto refuses and which it lets through, and that no rule looks who asked.
//! Does not measure: the pair files of p402/verifier/pairs do.

use p402_core::cache::veto::{Reading, Veto, veto};
use proptest::prelude::*;

fn judged(a: &str, b: &str) -> Option<Veto> {
    veto(&Reading::of(a), &Reading::of(b))
}

#[test]
fn look_alikes_are_refused_for_their_reason() {
    for (a, b, reason) in [
        ("How do I cook rice for 4 people?", "How do I cook rice for 6 people?", Veto::Number),
        ("Name three rivers in France", "Name five rivers in France", Veto::Number),
        ("Is Python 3.1 still supported?", "Is Python 3.10 still supported?", Veto::Number),
        ("Convert 5 kg to pounds", "Convert 5 g to pounds", Veto::Unit),
        ("What is $5 worth?", "What is €5 worth?", Veto::Unit),
        ("What happened on 3 May 2020?", "What happened on 5 May 2020?", Veto::Date),
        ("Wake me at 3 pm", "Wake me at 3 am", Veto::Number),
        ("Which shops open on Monday?", "Which shops open on Sunday?", Veto::Date),
        ("Which fruits contain sugar?", "Which fruits contain no sugar?", Veto::Negation),
        ("Can dogs eat grapes?", "Can dogs not eat grapes?", Veto::Negation),
        ("Who was the president of France?", "Who is the president of France?", Veto::Negation),
        ("How do I turn on dark mode?", "How do I turn off dark mode?", Veto::Antonym),
        ("How to increase blood pressure", "How to decrease blood pressure", Veto::Antonym),
        ("What is the highest peak of Peru?", "What is the lowest peak of Peru?", Veto::Antonym),
        ("Flights from Paris to Rome", "Flights from Rome to Paris", Veto::Order),
        ("Did Caesar kill Brutus?", "Did Brutus kill Caesar?", Veto::Order),
        ("Convert celsius into kelvin", "Convert kelvin into celsius", Veto::Order),
        ("What is the capital of Austria?", "What is the capital of Australia?", Veto::Entity),
        ("Explain `sort` in bash", "Explain `sed` in bash", Veto::Entity),
        ("What does \"bank\" mean?", "What does \"bark\" mean?", Veto::Entity),
        ("Is C# fast?", "Is C++ fast?", Veto::Entity),
        ("best laptop for students", "best phone for students", Veto::Diff),
        ("What is the capital of georgia", "What is the capital of georgia state", Veto::Diff),
        ("Explain recursion", "Explain recursion as JSON", Veto::Entity),
        ("Explain recursion with an example", "Explain recursion", Veto::Diff),
        ("How do you say please?", "How do you say thanks?", Veto::Diff),
        ("What does just mean?", "What does simply mean?", Veto::Diff),
        ("When did Rome fall?", "Why did Rome fall?", Veto::Shape),
        ("Who built Rome?", "Where is Rome built?", Veto::Shape),
    ] {
        assert_eq!(judged(a, b), Some(reason), "{a} | {b}");
    }
}

#[test]
fn the_same_question_passes() {
    for (a, b) in [
        ("What is the capital of France?", "what's the capital of france"),
        ("What is the capital of France?", "Tell me the capital of France."),
        ("How do I center a div in CSS?", "How can I center a div in CSS?"),
        ("How do I center a div in CSS?", "What's the best way to center a div in CSS?"),
        ("In Python, how do I reverse a list?", "How do I reverse a list in Python?"),
        ("What is the difference between cats and dogs?", "difference between dogs and cats"),
        ("How can I fix a leaking tap?", "How do I repair a leaking tap?"),
        ("Could you please explain photosynthesis?", "Explain photosynthesis"),
        ("How do you say hello in Welsh?", "How do you say hello in Welsh please?"),
        ("What is the mean of 1 and 3?", "What is mean of 1 and 3?"),
        ("What are the symptoms of flu?", "Symptoms of the flu"),
        ("Name 3 rivers in France", "Name three rivers in France"),
        ("Convert 5 kg to pounds", "convert 5 kilograms to pounds"),
        ("What year did the war end?", "When did the war end?"),
        ("What happened on 3 May 2020?", "What happened on May 3rd, 2020?"),
        ("Why is the sky blue?", "What is the reason the sky is blue?"),
        ("Is it safe to eat raw eggs?", "is it safe to eat raw eggs"),
    ] {
        assert_eq!(judged(a, b), None, "{a} | {b}");
    }
}

#[test]
fn a_change_at_the_end_of_a_long_prompt_is_seen() {
    let long = "The committee met in spring and talked about the budget of the town. ".repeat(40);
    let ask = |what: &str| format!("{long}Summarise the paragraph about {what}.");
    assert!(judged(&ask("schools"), &ask("roads")).is_some());
    assert_eq!(judged(&ask("schools"), &ask("schools")), None);
}

fn text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "how",
        "do",
        "I",
        "not",
        "can't",
        "increase",
        "reduce",
        "lower",
        "decrease",
        "cut",
        "5",
        "kg",
        "five",
        "three",
        "hundred",
        "Paris",
        "paris",
        "and",
        "or",
        "to",
        "from",
        "big",
        "large",
        "huge",
        "3pm",
        "at",
        "May",
        "2020",
        ",",
        ".",
        "?",
        "`x`",
        "\"q\"",
        "C#",
        "IT",
        "it",
        "the",
        "in",
        "what",
        "is",
        "error",
        "bug",
        "mistake",
        "https://e.com",
    ]);
    prop::collection::vec(word, 0..10).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_veto_is_symmetric(a in prop_oneof![text(), "\\PC{0,40}"], b in text()) {
        prop_assert_eq!(judged(&a, &b), judged(&b, &a));
    }

    #[test]
    fn a_text_is_never_kept_from_itself(a in prop_oneof![text(), "\\PC{0,60}", any::<String>()]) {
        prop_assert_eq!(judged(&a, &a), None);
    }
}
