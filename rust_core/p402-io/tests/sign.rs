//! Signatures of Amazon's version 4: the published vector, and a path with an escape in it.
#![allow(clippy::unwrap_used)]

use http::{HeaderMap, Uri};
use p402_core::time::Timestamp;
use p402_io::sign::Signer;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn at() -> Timestamp {
    Timestamp::parse_rfc3339("2015-08-30T12:36:00Z").unwrap()
}

fn signed(signer: &Signer, uri: &'static str, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    signer.sign(&Uri::from_static(uri), body, at(), &mut headers);
    headers
}

#[test]
fn the_published_vector() {
    let signer = Signer {
        id: "AKIDEXAMPLE".into(),
        secret: SECRET.into(),
        token: None,
        region: "us-east-1".into(),
        service: "service",
    };
    let headers = signed(&signer, "https://example.amazonaws.com/", b"");
    assert_eq!(headers["x-amz-date"], "20150830T123600Z");
    assert_eq!(
        headers["authorization"],
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
    );
}

#[test]
fn an_escape_in_the_path_is_escaped_again() {
    let base = "https://bedrock-runtime.eu-central-1.amazonaws.com";
    let signer = Signer::read(&format!("AKIDEXAMPLE:{SECRET}:TOKEN+/="), base).unwrap();
    assert_eq!(&*signer.region, "eu-central-1");
    let uri = "https://bedrock-runtime.eu-central-1.amazonaws.com/model/a.b-1%3A0/converse";
    let headers = signed(&signer, uri, br#"{"messages":[]}"#);
    assert_eq!(headers["x-amz-security-token"], "TOKEN+/=");
    let text = headers["authorization"].to_str().unwrap();
    assert!(text.contains("SignedHeaders=host;x-amz-date;x-amz-security-token"), "{text}");
    assert!(
        text.ends_with(
            "Signature=8679afa93bd77b6d77ff1f7263f635004e93e1a37ef8da5c7dfb313a6337180c"
        ),
        "{text}"
    );
}

#[test]
fn a_bearer_token_signs_nothing_and_no_secret_is_shown() {
    assert!(Signer::read("ABSKQmVkcm9ja0FQSUtleQ==", "https://x.test").is_none());
    let signer = Signer::read(&format!("A:{SECRET}"), "http://127.0.0.1:1/x").unwrap();
    assert_eq!(&*signer.region, "us-east-1");
    assert!(!format!("{signer:?}").contains("wJalr"));
}
