//! Shows which spellings meet and which must never: a canonical hit is served without judgement.
//! Does not test keys (cache_key.rs).

use p402_core::cache::canon::canonical;
use proptest::prelude::*;

#[test]
fn spellings_of_one_question_meet() {
    for (a, b) in [
        ("What is Rust?", "what is rust"),
        ("  What   is\tRust ?!", "what is rust"),
        ("What's the capital of France?", "what is the capital of France"),
        ("I don't know, can't you?", "i do not know, can not you"),
        ("I'm sure they're late", "I am sure they are late."),
        ("Name three rivers", "name 3 rivers"),
        ("Name twenty-five rivers", "name 25 rivers"),
        ("Wake me at 3 PM", "wake me at 15:00"),
        ("Wake me at 12:30am", "wake me at 0:30"),
        ("ＷＨＡＴ is this", "WHAT is this"),
        ("cafe\u{301} menu", "CAFÉ menu".to_lowercase().as_str()),
        ("Straße in Bonn", "strasse in bonn"),
        ("first line\r\nsecond line", "First line\n\nSecond line."),
        ("what does `ls` do?", "What does `ls` do"),
    ] {
        assert_eq!(canonical(a), canonical(b), "{a} | {b}");
    }
}

#[test]
fn what_means_something_else_stays_apart() {
    for (a, b) in [
        ("Is C a language", "Is C# a language"),
        ("Is C a language", "Is C++ a language"),
        ("Is C# a language", "Is C++ a language"),
        ("tell me about IT", "tell me about it"),
        ("where do they meet US", "where do they meet us"),
        ("What is 2⁵", "What is 25"),
        ("What is 1½", "What is 11⁄2"),
        ("What is 5!", "What is 5"),
        ("What is n!", "What is n"),
        ("Run `LS`", "Run `ls`"),
        ("Run ```\nA\n``` now", "Run ```\na\n``` now"),
        ("open https://e.com/A", "open https://e.com/a"),
        ("fix iPhone", "fix iphone"),
        ("if a:\n  b\n  c", "if a:\n  b\nc"),
        ("two hundred", "2 hundred"),
        ("twenty five", "20 5"),
        ("at 3 am", "at 3 pm"),
        ("at 12 am", "at 12 pm"),
        ("sıkıldım", "sikildim"),
        ("I can do it", "I can't do it"),
    ] {
        assert_ne!(canonical(a), canonical(b), "{a} | {b}");
    }
}

fn question() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "What's",
        "can't",
        "won't",
        "I'm",
        "it's",
        "3",
        "pm",
        "PM",
        "3:30pm",
        "twelve",
        "hundred",
        "twenty-five",
        "one",
        "`a  B`",
        "```",
        "`",
        "\n",
        "\n  ",
        "  ",
        "\t",
        "C#",
        "5!",
        "n!",
        "?",
        ".",
        "!!",
        "…",
        "https://e.com/A",
        "Straße",
        "ǅ",
        "İ",
        "ı",
        "Σίσυφος",
        "ｶﾞ",
        "Ａ",
        "e\u{301}",
        "\u{301}",
        "’s",
        "\r\n",
        "am?",
        "3 am?",
        "x\u{a0}y",
        "don’t.",
        "don't'll",
    ]);
    let joint = prop::sample::select(vec![" ", "", "\n"]);
    let words = prop::collection::vec((word, joint), 0..8);
    words.prop_map(|list| list.into_iter().flat_map(|(word, joint)| [word, joint]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_form_of_a_form_is_itself(text in prop_oneof![question(), "\\PC{0,60}", any::<String>()]) {
        let form = canonical(&text);
        prop_assert_eq!(canonical(&form), form);
    }
}
