//! Shows that the encoder's pool answers in time or says why not, within its bounds.
//! Does not test the vectors (p402-encoder) nor the hashed encoder's meaning: it has none.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must fail loudly")]

use p402_io::embed::{EmbedError, Embedder, Hands, Hashed, Model, PER_TENANT_MAX, Pool};
use std::path::Path;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

fn model() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../p402/embedder");
    // `make embedder` writes it.
    let weights = std::fs::read(folder.join("minilm-l6-i8.bin")).unwrap();
    let digest = std::fs::read_to_string(folder.join("minilm-l6-i8.sha256")).unwrap();
    Model::new(&weights, &digest).unwrap()
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
