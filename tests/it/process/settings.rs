//! Faults of settings, made from their tables: each alone and each beside one of every other setting,
//! for every binary.

use std::{net::TcpListener, path::Path, time::Duration};

use chassis::{Function, Settings};
use settings::{Declared, Env, Reader};
use tests::PROJECT;

use super::{CANARY, Environment, NOWHERE, program::Program};
use crate::process::program::{ALL, AUTH, ENDS_MAX, USER};

/// The binaries, by the functions in them.
const BINARIES: [(&str, &str); 3] = [("all", ALL), ("auth", AUTH), ("user", USER)];

/// What is needed by all, and by one of them.
const GOOD: [(&str, &str); 3] =
    [("DATABASE_URL", NOWHERE), ("FIREBASE_PROJECT_ID", PROJECT), ("FIREBASE_API_KEY", "any")];

/// How soon a binary that cannot use its settings has ended. What is beside it on this machine may hold
/// up some of several.
const TOLD_MAX: Duration = Duration::from_secs(1);

/// What cannot be used of a setting; without a value it is missing.
#[derive(Clone, Debug)]
struct Fault {
    name: &'static str,
    value: Option<String>,
}

fn functions(binary: &str) -> Vec<Function> {
    let mut functions = all::functions();
    functions.retain(|function| binary == "all" || function.name == binary);
    functions
}

/// Every setting of a binary, in the order in which they are read.
fn declared(binary: &str) -> Vec<Declared> {
    let own = functions(binary).into_iter().flat_map(Function::own_settings);
    Function::declared_settings().into_iter().chain(own).collect()
}

/// Missing, empty, of another type, out of range, of an unknown scheme: what there is of a setting.
fn faults(declared: &Declared) -> Vec<Fault> {
    let mut values = vec![String::new(), " \t".to_owned(), format!("{CANARY}, [what?]")];
    if let Some(range) = declared.expects.strip_prefix("a whole number from ") {
        let (min, max) = range.split_once(" to ").unwrap();
        let (min, max): (i64, i64) = (min.parse().unwrap(), max.parse().unwrap());
        values.extend([min - 1, max + 1, -98_765_432_109, 98_765_432_109].map(|it| it.to_string()));
        values.extend(["1.5".to_owned(), format!("12{CANARY}")]);
    }
    if declared.expects.contains("URL") {
        values.extend(["gopher", "file", "mysql"].map(|it| format!("{it}://x:{CANARY}@host/x")));
    }
    let values = values.into_iter().map(Some);
    let missing = (declared.default == "required").then_some(None);
    let fault = |value| Fault { name: declared.name, value };
    values.chain(missing).map(fault).collect()
}

/// What a binary says of these faults, read as it reads its settings.
fn told(binary: &str, faults: &[&Fault]) -> String {
    let broken = |name: &str| faults.iter().any(|fault| fault.name == name);
    let good = GOOD.into_iter().filter(|(name, _)| !broken(name));
    let env = good.fold(Env::default(), |env, (name, value)| env.with(name, value));
    let env = faults.iter().fold(env, |env, fault| match &fault.value {
        Some(value) => env.with(fault.name, value.as_str()),
        None => env,
    });
    let read = |reader: &mut Reader<'_>| Settings::read_for(functions(binary), reader);
    match Reader::new(&env).finish(read) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    }
}

/// Insists that each is named in its order, that each says what is wrong, and that none is shown.
#[track_caller]
fn names_all(told: &str, faults: &[&Fault]) {
    let named: Vec<_> = told.lines().filter_map(|line| line.split(' ').next()).collect();
    let expected: Vec<_> = faults.iter().map(|fault| fault.name).collect();
    assert_eq!(named, expected, "{faults:?}: {told}");
    assert!(told.lines().all(|line| line.len() > line.find(' ').unwrap() + 5), "{told}");
    for Fault { value, .. } in faults {
        let value = value.as_deref().unwrap_or_default().trim();
        let is_telling = value.len() > 10;
        assert!(!told.contains(CANARY), "{told}");
        assert!(!is_telling || !told.contains(value), "{told}");
    }
}

#[test]
fn each_fault_of_each_setting_is_named_alone() {
    for (binary, _path) in BINARIES {
        let mut tried = 0;
        for fault in declared(binary).iter().flat_map(faults) {
            names_all(&told(binary, &[&fault]), &[&fault]);
            tried += 1;
        }
        assert!(tried > 150, "{binary}: {tried}");
    }
}

#[test]
fn any_two_settings_that_are_wrong_are_both_named() {
    for (binary, _path) in BINARIES {
        let faults: Vec<_> = declared(binary).iter().map(faults).collect();
        let mut tried = 0;
        for (first, ones) in faults.iter().enumerate() {
            for (second, others) in faults.iter().enumerate().skip(first + 1) {
                // Of the kinds, each comes beside each sooner or later.
                let pair = [&ones[second % ones.len()], &others[(first + second) % others.len()]];
                names_all(&told(binary, &pair), &pair);
                tried += 1;
            }
        }
        assert!(tried > 500, "{binary}: {tried}");
    }
}

#[tokio::test]
async fn each_binary_ends_with_78_before_it_binds_a_port() {
    // Whoever binds first would be told of the port, and with another code.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (binary, path) in BINARIES {
        let faults: Vec<_> = declared(binary).iter().map(faults).collect();
        let mut took = Vec::new();
        for round in 0..4 {
            let (first, second) = (round * 3 % faults.len(), faults.len() - 1 - round);
            let pair = [first, second].map(|at| &faults[at][round % faults[at].len()]);
            let environment = GOOD.into_iter().fold(
                Environment::of(NOWHERE)
                    .with("LISTEN_ADDR", &address)
                    .with("METRICS_ADDR", &address),
                |environment, (name, value)| environment.with(name, value),
            );
            let environment =
                pair.iter().fold(environment, |environment, fault| match &fault.value {
                    Some(value) => environment.with(fault.name, value.as_str()),
                    None => environment.without(fault.name),
                });
            let mut command = environment.command_of(Path::new(path), &["serve"]);
            let ended = Program::run(&mut command, ENDS_MAX).await;
            assert_eq!((ended.code(), &*ended.stdout), (Some(78), ""), "{pair:?}: {ended:?}");
            let (_title, told) = ended.stderr.split_once('\n').unwrap();
            names_all(told, &pair);
            took.push(ended.took);
        }
        assert!(took.iter().any(|took| *took < TOLD_MAX), "{binary}: {took:?}");
    }
}
