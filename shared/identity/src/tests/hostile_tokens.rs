//! Tokens that look like ours and are not, one by one.

use serde_json::json;

use super::{
    shapes::shapes,
    support::{Answer, World, token},
    tokens::with_header,
};
use crate::Error;

#[tokio::test]
async fn every_hostile_token_is_refused_for_its_reason_and_makes_us_call_nobody() {
    let (world, canary) = (World::warm().await, World::new(Answer::Close).await);
    world.verifier.verify(&token(|_, _| {})).await.unwrap();
    let shapes = shapes(&canary.url);
    assert_eq!(shapes.len(), 27 + 72 + 18 + 84 + 7);
    for shape in &shapes {
        let told = match world.verifier.verify(&shape.token).await {
            Err(Error::Invalid(_)) => "TOKEN_INVALID",
            Err(Error::Expired) => "TOKEN_EXPIRED",
            other => panic!("{}: {other:?}", shape.name),
        };
        assert_eq!(told, shape.reason, "{}", shape.name);
    }
    assert_eq!(canary.requests(), 0, "a token made us call somebody");
    // One for the keys, and one more for all the unknown ones together.
    assert_eq!(world.requests(), 2);
    assert_eq!(world.verifier.remembered_len(), 1, "only the good one is kept");
}

#[tokio::test]
async fn a_kid_that_no_key_can_have_makes_us_ask_for_none() {
    let world = World::warm().await;
    for kid in ["", "a\nb", "schl\u{fc}ssel", &"k".repeat(201)] {
        let told = world.verifier.verify(&with_header("kid", kid.into())).await;
        assert!(matches!(told, Err(Error::Invalid(_))), "{kid:?}: {told:?}");
    }
    assert_eq!(world.requests(), 1);
}

#[tokio::test]
async fn a_token_of_nobody_is_refused_though_nothing_in_it_contradicts_that() {
    let world = World::warm().await;
    for sub in [None, Some(json!(7)), Some(json!(["ada"]))] {
        let token = token(|_header, claims| {
            claims.remove("user_id");
            claims.remove("sub");
            claims.extend(sub.map(|sub| ("sub".to_owned(), sub)));
        });
        let told = world.verifier.verify(&token).await;
        assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
    }
}
