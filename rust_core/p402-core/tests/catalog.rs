//! Decides whether catalogues load as they should: the shipped file, layers over it, bad files.
//! Does not price (price.rs) beyond what shows a layer took effect.

use p402_core::catalog::{Catalog, Resolved};

const SHIPPED: &[u8] = include_bytes!("../../../p402/catalog/catalog.jsonl");

#[test]
fn shipped_file_loads() {
    let catalog = Catalog::load(&[SHIPPED]).unwrap();
    assert!(catalog.offers.len() >= 600, "{} offers", catalog.offers.len());
    for name in [
        "deepseek-chat",
        "claude-haiku-4-6",
        "gemini-3.1-flash",
        "claude-opus-4-6",
        "gpt-5.4",
        "gemini-3.1-ultra",
        "llama-3.3-70b-versatile",
        "claude-sonnet-4-6",
        "gemini-3.1-pro",
    ] {
        let home = catalog.home(name);
        println!("{name}: {:?} home {:?}", catalog.resolve(name), home.map(|at| catalog.offer_name(at)));
        assert!(!matches!(catalog.resolve(name), Resolved::Unknown | Resolved::Free));
    }
}
