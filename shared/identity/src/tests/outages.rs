//! Key servers that hang, fail and come back, and floods while they do.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet, time::Instant};
use tokio_util::task::TaskTracker;

use super::support::{Answer, NOW, World, header, jwk, sign_as, token, with_claim, with_header};
use crate::{Error, FetchError, KeysState, Person, source::WAITING_MAX};

type Told = Result<Arc<Person>, Error>;

async fn at_once(world: &World, tokens: impl IntoIterator<Item = String>) -> Vec<Told> {
    let mut calls = JoinSet::new();
    for token in tokens {
        let verifier = world.verifier.clone();
        calls.spawn(async move { verifier.verify(&token).await });
    }
    calls.join_all().await
}

fn forever() -> String {
    with_claim("exp", json!(NOW + 1_000_000))
}

/// A good token of the second pair, published as `k2`.
fn by_the_second_pair() -> String {
    let rsa = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
    let head = header().to_string().replace("k1", "k2");
    sign_as(1, rsa, &head, &super::support::claims().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_500_calls_share_one_fetch() {
    let world = World::new(Answer::keys(&[jwk(0, "k1")])).await;
    let tokens = (0..500).map(|n| with_claim("email", json!(format!("{n}@example.com"))));
    let told = at_once(&world, tokens.collect::<Vec<_>>()).await;
    assert!(told.iter().all(Result::is_ok));
    assert_eq!((world.requests(), world.verifier.fetches_total()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_costs_500_calls_one_fetch_and_3_seconds() {
    let (world, tokens) = (World::new(Answer::Hang).await, vec![token(|_, _| {}); 500]);
    let started = Instant::now();
    let told = at_once(&world, tokens).await;
    // That there was one fetch is counted; the rest is for a machine that is busy.
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    for told in told {
        let Err(Error::KeysUnavailable(why)) = told else { panic!("{told:?}") };
        assert!(matches!(*why, FetchError::TimedOut), "{why}");
    }
    assert_eq!((world.requests(), world.verifier.fetches_total()), (1, 1));
    assert_eq!(world.verifier.fetch_failures_total(), 1);
}

/// So many calls that wait for keys, all with this token, and what the next one is told meanwhile.
async fn beyond_the_places(world: &World, token: &str) -> Told {
    let mut waiting = JoinSet::new();
    for _place in 0..WAITING_MAX {
        let (verifier, token) = (world.verifier.clone(), token.to_owned());
        waiting.spawn(async move { verifier.verify(&token).await });
    }
    // They are on this one thread, which turns to a few dozen of them at a time.
    for _turn in 0..WAITING_MAX {
        tokio::task::yield_now().await;
    }
    let told = tokio::time::timeout(Duration::from_millis(1500), world.verifier.verify(token));
    let told = told.await.expect("it does not wait");
    assert!(waiting.try_join_next().is_none(), "the others do");
    waiting.shutdown().await;
    told
}

#[tokio::test]
async fn so_many_wait_for_keys_and_the_next_is_told_at_once_that_there_are_none() {
    let gate = Arc::new(Semaphore::new(0));
    let keys = Answer::keys(&[jwk(0, "k1")]);
    let world = World::new(Answer::Held(Arc::clone(&gate), Box::new(keys.clone()))).await;
    let good = token(|_, _| {});
    let told = beyond_the_places(&world, &good).await;
    let Err(Error::KeysUnavailable(why)) = told else { panic!("{told:?}") };
    assert!(matches!(*why, FetchError::Crowded), "{why}");
    // Those who waited have left, and with them their places.
    gate.add_permits(1);
    world.verifier.verify(&good).await.unwrap();

    // A key that is not known yet may be a good one.
    world.answers(Answer::Held(gate, Box::new(keys)));
    let told = beyond_the_places(&world, &by_the_second_pair()).await;
    assert!(matches!(told, Err(Error::KeysUnavailable(_))), "{told:?}");
    world.verifier.verify(&with_claim("exp", json!(NOW + 9999))).await.unwrap();
}

#[tokio::test]
async fn a_secret_in_the_keys_url_is_in_no_error() {
    let world = World::asking(Answer::Close, "?key=hunter2").await;
    let told = world.verifier.verify(&token(|_, _| {})).await;
    assert!(matches!(told, Err(Error::KeysUnavailable(_))), "{told:?}");
    let error = world.verifier.keys_error().unwrap();
    assert_eq!(error.class(), "unreachable");
    // As it is logged, and as somebody might print it.
    let chain = fault::chain(&*error);
    assert!(chain.contains(": "), "{chain}");
    let told = format!("{chain} {error:?}");
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn a_token_that_cannot_be_read_waits_for_no_keys() {
    let world = World::new(Answer::Hang).await;
    let good = token(|_, _| {});
    let unsigned = good.trim_end_matches(|letter| letter != '.');
    for token in ["", "a.b.c", unsigned, &with_header("alg", json!("none"))] {
        assert!(matches!(world.verifier.verify(token).await, Err(Error::Invalid(_))));
    }
    assert_eq!(world.verifier.fetches_total(), 0);
}

#[tokio::test]
async fn old_keys_serve_while_the_server_hangs_and_nobody_waits_for_it() {
    let world = World::warm().await;
    world.answers(Answer::Hang);
    world.pass(Duration::from_hours(1)).await;
    let tokens: Vec<_> = (0..200).map(|n| with_claim("exp", json!(NOW + 9999 + n))).collect();
    let started = Instant::now();
    for fresh in tokens {
        world.verifier.verify(&fresh).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(world.verifier.fetches_total(), 2);
}

#[tokio::test]
async fn a_fetch_across_a_sleep_is_not_waited_for_and_brings_no_key_of_before() {
    let gate = Arc::new(Semaphore::new(0));
    let old = Answer::keys(&[jwk(0, "k1")]);
    let world = World::new(Answer::Held(Arc::clone(&gate), Box::new(old))).await;
    let (verifier, withdrawn) = (world.verifier.clone(), forever());
    let of_before = TaskTracker::new().spawn(async move { verifier.verify(&withdrawn).await });
    while world.requests() == 0 {
        tokio::task::yield_now().await;
    }
    world.clock.advance(Duration::from_mins(1));
    world.answers(Answer::keys(&[jwk(1, "k2")]));
    world.verifier.verify(&by_the_second_pair()).await.unwrap();
    gate.add_permits(1);
    let told = of_before.await.unwrap();
    assert!(matches!(told, Err(Error::Invalid("unknown key"))), "{told:?}");
    world.settle().await;
    world.verifier.verify(&by_the_second_pair()).await.unwrap();
    assert_eq!(world.verifier.keys_state(), KeysState::Fresh);
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_end_the_fetch() {
    let gate = Arc::new(Semaphore::new(0));
    let keys = Answer::keys(&[jwk(0, "k1")]);
    let world = World::new(Answer::Held(Arc::clone(&gate), Box::new(keys))).await;
    let token = token(|_, _| {});
    let first = tokio::time::timeout(Duration::from_millis(50), world.verifier.verify(&token));
    assert!(first.await.is_err());
    gate.add_permits(1);
    world.verifier.verify(&token).await.unwrap();
    assert_eq!(world.verifier.fetches_total(), 1);
}

#[tokio::test]
async fn without_keys_the_server_is_asked_once_a_second() {
    let world = World::new(Answer::Close).await;
    assert_eq!(world.verifier.keys_state(), KeysState::Never);
    for fetches in 1..=3 {
        for _again in 0..50 {
            let told = world.verifier.verify(&token(|_, _| {})).await;
            assert!(matches!(told, Err(Error::KeysUnavailable(_))), "{told:?}");
        }
        assert_eq!(world.verifier.fetches_total(), fetches);
        world.pass(Duration::from_secs(1)).await;
    }
    world.answers(Answer::keys(&[jwk(0, "k1")]));
    world.verifier.verify(&token(|_, _| {})).await.unwrap();
    assert_eq!(world.verifier.keys_state(), KeysState::Fresh);
    assert!(world.verifier.keys_error().is_none());
    world.verifier.warm().await;
    assert_eq!(world.verifier.fetches_total(), 4);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_costs_one_fetch_in_30_seconds() {
    let world = World::warm().await;
    let flood = || (0..500).map(|n| with_header("kid", json!(format!("f{n}"))));
    for fetches in [2, 3] {
        for told in at_once(&world, flood()).await {
            assert!(matches!(told, Err(Error::Invalid(_))), "{told:?}");
        }
        assert_eq!(world.verifier.fetches_total(), fetches);
        world.verifier.verify(&token(|_, _| {})).await.unwrap();
        world.pass(Duration::from_secs(30)).await;
    }
    assert_eq!(world.verifier.remembered_len(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_by_its_first_token() {
    let world = World::warm().await;
    world.answers(Answer::keys(&[jwk(0, "k1"), jwk(1, "k2")]));
    for told in at_once(&world, vec![by_the_second_pair(); 500]).await {
        told.unwrap();
    }
    assert_eq!(world.requests(), 2);
}

#[tokio::test]
async fn a_token_of_a_new_key_is_not_called_bad_while_the_keys_cannot_be_fetched() {
    let world = World::warm().await;
    world.answers(Answer::Close);
    let flood = || (0..100).map(|n| with_header("kid", json!(format!("f{n}"))));
    for told in at_once(&world, flood().chain([by_the_second_pair()])).await {
        assert!(matches!(told, Err(Error::KeysUnavailable(_))), "{told:?}");
    }
    assert_eq!(world.verifier.fetches_total(), 2);
    assert_eq!(world.verifier.keys_state(), KeysState::Fresh);
    // Whoever's key is known does not notice, and the next fetch ends it.
    world.verifier.verify(&token(|_, _| {})).await.unwrap();
    world.answers(Answer::keys(&[jwk(0, "k1"), jwk(1, "k2")]));
    world.pass(Duration::from_secs(30)).await;
    for told in at_once(&world, flood()).await {
        assert!(matches!(told, Err(Error::Invalid("unknown key"))), "{told:?}");
    }
    world.verifier.verify(&by_the_second_pair()).await.unwrap();
    assert_eq!(world.verifier.fetches_total(), 3);
}

#[tokio::test]
async fn keys_serve_until_they_are_too_old_and_again_once_there_are_new_ones() {
    let world = World::warm().await;
    let remembered = forever();
    world.verifier.verify(&remembered).await.unwrap();
    world.answers(Answer::Close);
    world.clock.advance(Duration::from_hours(6));
    let fresh = with_claim("exp", json!(NOW + 2_000_000));
    world.verifier.verify(&remembered).await.unwrap();
    world.verifier.verify(&fresh).await.unwrap();
    world.settle().await;
    let age = Duration::from_hours(6);
    assert_eq!(world.verifier.keys_state(), KeysState::Stale { age });
    // A key we do not have may exist by now: that is not the caller's fault.
    let unknown = with_header("kid", json!("k9"));
    let told = world.verifier.verify(&unknown).await;
    assert!(matches!(told, Err(Error::KeysUnavailable(_))), "{told:?}");

    world.clock.advance(Duration::from_secs(1));
    for token in [&remembered, &fresh, &unknown] {
        let told = world.verifier.verify(token).await;
        assert!(matches!(told, Err(Error::KeysUnavailable(_))), "{told:?}");
    }
    world.answers(Answer::keys(&[jwk(0, "k1")]));
    world.pass(Duration::from_secs(1)).await;
    world.verifier.verify(&remembered).await.unwrap();
    assert_eq!(world.verifier.keys_state(), KeysState::Fresh);
}

#[tokio::test]
async fn a_machine_that_slept_fetches_the_keys_before_it_takes_a_token() {
    let world = World::warm().await;
    let old = token(|_, _| {});
    world.answers(Answer::keys(&[jwk(1, "k2")]));
    // A clock that is put right is no sleep.
    world.clock.advance(Duration::from_secs(5));
    world.verifier.verify(&old).await.unwrap();
    assert_eq!(world.verifier.fetches_total(), 1);

    // The key of a token that was found good before has been withdrawn meanwhile.
    world.clock.advance(Duration::from_secs(1));
    let told = world.verifier.verify(&old).await;
    assert!(matches!(told, Err(Error::Invalid("unknown key"))), "{told:?}");
    world.verifier.verify(&by_the_second_pair()).await.unwrap();
    assert_eq!(world.verifier.keys_state(), KeysState::Fresh);
}

#[tokio::test]
async fn a_fetch_that_failed_before_a_sleep_does_not_put_off_the_one_after_it() {
    let world = World::warm().await;
    let old = token(|_, _| {});
    world.answers(Answer::Close);
    world.verifier.verify(&by_the_second_pair()).await.unwrap_err();
    assert_eq!(world.verifier.fetch_failures_total(), 1);

    world.answers(Answer::keys(&[jwk(1, "k2")]));
    // A sleep shorter than the rest after a failure is one as well.
    world.clock.advance(Duration::from_secs(6));
    let told = world.verifier.verify(&old).await;
    assert!(matches!(told, Err(Error::Invalid("unknown key"))), "{told:?}");
    world.verifier.verify(&by_the_second_pair()).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_slept_goes_on_with_the_keys_it_had_while_their_server_hangs() {
    let world = World::warm().await;
    world.answers(Answer::Hang);
    world.clock.advance(Duration::from_hours(2));
    let started = Instant::now();
    for told in at_once(&world, vec![forever(); 200]).await {
        told.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(world.verifier.fetches_total(), 2);
}

#[tokio::test]
async fn a_server_that_hangs_after_a_sleep_is_waited_for_once() {
    let world = World::warm().await;
    world.answers(Answer::Hang);
    world.clock.advance(Duration::from_hours(2));
    world.verifier.verify(&forever()).await.unwrap();
    world.settle().await;
    assert_eq!(world.verifier.fetch_failures_total(), 1);
    // While it is left alone there is nothing to wait for: what so many take here.
    let started = Instant::now();
    for told in at_once(&world, vec![forever(); 200]).await {
        told.unwrap();
    }
    let control = started.elapsed();
    // It is asked again, and nobody waits for it.
    world.pass(Duration::from_secs(30)).await;
    let started = Instant::now();
    for told in at_once(&world, vec![forever(); 200]).await {
        told.unwrap();
    }
    let took = started.elapsed();
    assert!(took < control + Duration::from_millis(800), "{took:?}, before that {control:?}");
    assert_eq!(world.verifier.fetches_total(), 3);
}

#[tokio::test]
async fn keys_are_fetched_in_time_whatever_their_server_says_of_their_age() {
    let headers = "Content-Type: application/json\r\nCache-Control: max-age=86400\r\n";
    let keys = json!({"keys": [jwk(0, "k1")]}).to_string();
    let world = World::new(Answer::of("200 OK", headers, keys.as_bytes())).await;
    world.verifier.warm().await;
    // Half of the six hours after which they are not used.
    world.pass(Duration::from_hours(3)).await;
    world.verifier.verify(&forever()).await.unwrap();
    world.settle().await;
    assert_eq!(world.verifier.fetches_total(), 2);
    assert_eq!(world.verifier.keys_state(), KeysState::Fresh);
}

#[tokio::test]
async fn a_refresh_that_fails_is_tried_again_after_30_seconds() {
    let world = World::warm().await;
    world.answers(Answer::Close);
    world.pass(Duration::from_hours(1)).await;
    for fetches in 2..=3 {
        for _again in 0..50 {
            world.verifier.verify(&forever()).await.unwrap();
            world.settle().await;
        }
        assert_eq!(world.verifier.fetches_total(), fetches);
        world.pass(Duration::from_secs(30)).await;
    }
}
