//! Shows that the encoder is the published one: same pieces, near-equal vectors.
//! Does not measure (benches/kernels/embed.rs).

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use p402_core::cache::similarity::{DIMENSIONS, Vector};
use p402_encoder::{EncodeError, Hands, Model};
use serde_json::Value;
use std::path::Path;
use std::sync::LazyLock;

static WEIGHTS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // `make embedder` writes it.
    std::fs::read(folder().join("minilm-l6-i8.bin")).unwrap()
});

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../p402/embedder")
}

fn digest() -> String {
    std::fs::read_to_string(folder().join("minilm-l6-i8.sha256")).unwrap()
}

fn model() -> Model {
    Model::new(&WEIGHTS, &digest()).unwrap()
}

fn fixture(part: &str) -> Vec<(String, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/encoder.json");
    let mut all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(all[part].take()).unwrap()
}

#[test]
fn pieces_are_those_of_the_reference() {
    let model = model();
    let mut compared = 0;
    for (text, ids) in fixture("tokens") {
        let ids: Vec<u32> = serde_json::from_value(ids).unwrap();
        if let Some(pieces) = model.pieces(&text) {
            assert_eq!(pieces, ids, "{text:?}");
            compared += 1;
        }
    }
    assert!(compared >= 500, "{compared}");
}

#[test]
fn vectors_are_those_of_the_published_weights() {
    let (model, mut hands) = (model(), Hands::default());
    for (text, floats) in fixture("vectors") {
        let floats: Vec<f32> = serde_json::from_value(floats).unwrap();
        let reference: [f32; DIMENSIONS] = floats.try_into().unwrap();
        let near = model.embed(&mut hands, &text).unwrap().cosine(&Vector::of(&reference));
        assert!(near >= 0.99, "{near} for {text:?}");
    }
}

#[test]
fn a_text_beyond_what_the_encoder_sees_has_no_vector() {
    let long = "word ".repeat(300);
    assert_eq!(model().embed(&mut Hands::default(), &long), Err(EncodeError::TooLong));
    let fits = "word ".repeat(254);
    assert!(model().embed(&mut Hands::default(), &fits).is_ok());
    assert!(model().embed(&mut Hands::default(), "").is_ok());
}

#[test]
fn torn_or_foreign_weights_are_refused() {
    let refused = |bytes: &[u8], digest: &str| Model::new(bytes, digest).unwrap_err();
    assert_eq!(refused(&WEIGHTS[..WEIGHTS.len() - 1], &digest()), EncodeError::Weights);
    assert_eq!(refused(&WEIGHTS, &"0".repeat(64)), EncodeError::Weights);
    assert_eq!(refused(b"", &digest()), EncodeError::Weights);
    let mut changed = WEIGHTS.clone();
    changed[9_000_000] ^= 1;
    assert_eq!(refused(&changed, &digest()), EncodeError::Weights);
}
