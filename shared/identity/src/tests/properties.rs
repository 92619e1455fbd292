//! What holds of every token, and of every text.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::support::{ISSUER, NOW, PROJECT, World, encode, jwk, token};
use crate::{
    Error, Person,
    keys::{self, Key},
    token::{self as text, Rules},
};

static GOOD: LazyLock<String> = LazyLock::new(|| token(|_, _| {}));
static KEY: LazyLock<Key> = LazyLock::new(|| {
    let set = json!({"keys": [jwk(0, "k1")]}).to_string();
    keys::parse(set.as_bytes()).unwrap().remove(0)
});

const RULES: Rules<'_> = Rules { audience: PROJECT, issuer: ISSUER, skew_secs: 30 };

/// A verification without what is around it.
fn judge(token: &str) -> Result<Person, Error> {
    let parts = text::parse(token)?;
    if parts.kid != KEY.kid || !KEY.signed(parts.message, parts.signature) {
        return Err(Error::Invalid("signature"));
    }
    text::person(&parts.claims, RULES, NOW)
}

#[test]
fn the_judge_of_these_tests_takes_the_good_token() {
    judge(&GOOD).unwrap();
}

#[tokio::test]
async fn each_byte_of_a_remembered_token_counts() {
    let world = World::warm().await;
    world.verifier.verify(&GOOD).await.unwrap();
    for at in 0..GOOD.len() {
        let mut bytes = GOOD.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let told = world.verifier.verify(&changed).await;
        assert!(matches!(told, Err(Error::Invalid(_))), "byte {at}: {told:?}");
    }
    assert_eq!(world.verifier.remembered_len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_token_with_one_byte_changed_is_never_taken(at: prop::sample::Index, flip in 1..=255_u8) {
        let mut bytes = GOOD.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        // What is not text does not come this far.
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(matches!(judge(&changed), Err(Error::Invalid(_))), "byte {at}");
        }
    }

    #[test]
    fn a_token_with_a_piece_cut_out_or_repeated_is_never_taken(
        from: prop::sample::Index, to: prop::sample::Index, twice: bool,
    ) {
        let (from, to) = (from.index(GOOD.len()), to.index(GOOD.len()));
        let (from, to) = (from.min(to), from.max(to) + 1);
        let good = GOOD.as_bytes();
        let again = if twice { from } else { to };
        let bytes = if twice {
            [&good[..to], &good[again..]].concat()
        } else {
            [&good[..from], &good[again..]].concat()
        };
        prop_assert!(judge(&String::from_utf8(bytes).unwrap()).is_err());
    }

    #[test]
    fn no_text_is_taken_or_makes_it_panic(text: String) {
        prop_assert!(judge(&text).is_err());
    }

    #[test]
    fn no_three_segments_are_taken_or_make_it_panic(
        header in any::<Vec<u8>>(), claims in any::<Vec<u8>>(), signature in any::<Vec<u8>>(),
    ) {
        let parts = [header, claims, signature].map(encode);
        prop_assert!(judge(&parts.join(".")).is_err());
    }

    #[test]
    fn no_claims_or_keys_make_it_panic(bytes in any::<Vec<u8>>(), aud: String, exp: i64, iat: i64) {
        prop_assert!(text::person(&bytes, RULES, NOW).is_err());
        prop_assert!(keys::parse(&bytes).is_err());
        let claims = json!({"aud": aud, "iss": ISSUER, "sub": "a", "exp": exp, "iat": iat,
            "auth_time": iat});
        prop_assert!(text::person(claims.to_string().as_bytes(), RULES, NOW).is_err());
        for now in [i64::MIN, 0, i64::MAX] {
            let good = json!({"aud": PROJECT, "iss": ISSUER, "sub": "a", "exp": exp, "iat": iat,
                "auth_time": iat});
            let _either = text::person(good.to_string().as_bytes(), RULES, now);
        }
    }
}
