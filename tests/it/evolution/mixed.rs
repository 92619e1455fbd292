//! Messages of one version, read by another.

use std::sync::LazyLock;

use proptest::prelude::*;
use prost_reflect::{DynamicMessage, Value, prost::Message};
use proto::user::v1::{Profile, Visibility};
use tests::random::{Chance, message};

use super::contract::{Contract, difference};

/// Every pair of versions that may meet, the older one first.
fn pairs() -> Vec<(Contract, Contract)> {
    let mut versions = Contract::released();
    versions.extend([Contract::today(), Contract::next()]);
    let pair = |(place, old): (usize, &Contract)| {
        let newer = versions[place + 1..].to_vec();
        newer.into_iter().map(|new| (old.clone(), new)).collect::<Vec<_>>()
    };
    versions.iter().enumerate().flat_map(pair).collect()
}

/// Reads messages of each version as the other one.
fn exchange(old: &Contract, new: &Contract, seed: u64) -> Result<(), TestCaseError> {
    for (number, known) in (0..).zip(old.messages()) {
        let newer = new.message(known.full_name());
        prop_assert!(newer.is_some(), "{} of {} is gone", known.full_name(), old.name);
        let newer = newer.unwrap();

        let sent = message::message(&newer, &mut Chance::new(seed, number));
        let read = DynamicMessage::decode(known.clone(), &*sent.encode_to_vec()).unwrap();
        prop_assert_eq!(difference(&read, &sent), None, "{} to {}", new.name, old.name);
        let back = DynamicMessage::decode(newer.clone(), &*read.encode_to_vec()).unwrap();
        prop_assert_eq!(difference(&sent, &back), None, "back from {}", old.name);

        let sent = message::message(&known, &mut Chance::new(!seed, number));
        let read = DynamicMessage::decode(newer, &*sent.encode_to_vec()).unwrap();
        prop_assert_eq!(difference(&sent, &read), None, "{} to {}", old.name, new.name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn an_older_reader_loses_nothing_and_a_newer_one_sees_the_same(seed: u64) {
        static PAIRS: LazyLock<Vec<(Contract, Contract)>> = LazyLock::new(pairs);
        for (old, new) in &*PAIRS {
            exchange(old, new, seed)?;
        }
    }

    #[test]
    fn fields_that_are_not_known_change_nothing_in_json(seed: u64, number in 800_u32..900, text: String) {
        static TODAY: LazyLock<Contract> = LazyLock::new(Contract::today);
        for (place, method) in (0..).zip(TODAY.methods()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let json = &proto::method(&path).unwrap().messages;
            let mut bytes = message::message(&method.output(), &mut Chance::new(seed, place)).encode_to_vec();
            let plain = (json.response)(&bytes).ok();
            prost::encoding::string::encode(number, &text, &mut bytes);
            prost::encoding::uint64::encode(number + 100, &seed, &mut bytes);
            prop_assert_eq!((json.response)(&bytes).ok(), plain, "{}", path);
        }
    }
}

#[test]
fn a_value_that_is_not_known_is_kept_as_its_number() {
    let next = Contract::next().message("mayfly.user.v1.Profile").unwrap();
    let mut sent = DynamicMessage::new(next.clone());
    sent.set_field_by_name("visibility", Value::EnumNumber(900));
    sent.set_field_by_name("pronouns", Value::String("she".to_owned()));
    let bytes = sent.encode_to_vec();

    let read = Profile::decode(&*bytes).unwrap();
    assert_eq!((read.visibility, read.visibility()), (900, Visibility::Unspecified));

    let get = proto::method("/mayfly.user.v1.UserService/GetProfile").unwrap();
    let json = (get.messages.response)(&bytes).unwrap();
    assert_eq!(String::from_utf8(json).unwrap(), r#"{"visibility":900}"#);
}
