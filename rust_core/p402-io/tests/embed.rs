//! Shows that the encoder is the published one: same pieces, near-equal vectors, in time or not.
//! Does not test the hashed encoder's meaning: it has none.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use p402_core::cache::similarity::{DIMENSIONS, Vector};
use p402_io::embed::{EmbedError, Embedder, Hands, Hashed, Model, PER_TENANT_MAX, Pool};
use serde_json::Value;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

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
    assert_eq!(model().embed(&mut Hands::default(), &long), Err(EmbedError::TooLong));
    let fits = "word ".repeat(254);
    assert!(model().embed(&mut Hands::default(), &fits).is_ok());
    assert!(model().embed(&mut Hands::default(), "").is_ok());
}

#[test]
fn torn_or_foreign_weights_are_refused() {
    let refused = |bytes: &[u8], digest: &str| Model::new(bytes, digest).unwrap_err();
    assert_eq!(refused(&WEIGHTS[..WEIGHTS.len() - 1], &digest()), EmbedError::Weights);
    assert_eq!(refused(&WEIGHTS, &"0".repeat(64)), EmbedError::Weights);
    assert_eq!(refused(b"", &digest()), EmbedError::Weights);
    let mut changed = WEIGHTS.clone();
    changed[9_000_000] ^= 1;
    assert_eq!(refused(&changed, &digest()), EmbedError::Weights);
}

#[tokio::test]
async fn the_pool_answers_refuses_and_gives_places_back() {
    let pool = Pool::start(model(), 1).unwrap();
    let alone = model().embed(&mut Hands::default(), "hello").unwrap();
    assert_eq!(pool.embed("a", "hello", LONG).await, Ok(alone));
    let long = "long text ".repeat(100);
    let waiting: Vec<_> = (0..PER_TENANT_MAX).map(|_| pool.embed("a", &long, LONG)).collect();
    assert_eq!(pool.embed("a", "one more", LONG).await, Err(EmbedError::Overflow));
    assert!(pool.embed("b", "another tenant", LONG).await.is_ok());
    for answer in waiting {
        assert!(answer.await.is_ok());
    }
    assert!(pool.embed("a", "hello", LONG).await.is_ok());
    assert_eq!(pool.embed("a", "late", Duration::ZERO).await, Err(EmbedError::Late));
}

#[tokio::test]
async fn the_hashed_encoder_tells_equal_words_from_others() {
    let vector = async |text: &str| Hashed.embed("a", text, LONG).await.unwrap();
    let one = vector("what is rust").await;
    assert!(one.cosine(&vector("rust is what").await) > 0.99);
    assert!(one.cosine(&vector("how old are cats").await) < 0.5);
}
