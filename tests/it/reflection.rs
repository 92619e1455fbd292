//! What is served, as gRPC's own tools ask it.

use prost_reflect::DescriptorPool;
use proto::grpc::reflection::v1::{
    ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse,
    server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest as Question,
    server_reflection_response::MessageResponse as Answer,
};
use tests::{App, told};
use tokio_stream::StreamExt;
use tonic::{Code, Status, transport::Endpoint};

use crate::evolution::buf;

async fn reflecting() -> App {
    App::builder().with("REFLECTION", "on").start().await
}

/// Asks one question after another over one stream.
async fn ask(
    app: &App,
    questions: Vec<Option<Question>>,
) -> Vec<Result<ServerReflectionResponse, Status>> {
    let channel = Endpoint::from_shared(format!("http://{}", app.address)).unwrap().connect_lazy();
    let questions: Vec<_> = questions
        .into_iter()
        .map(|message_request| ServerReflectionRequest { host: "h".to_owned(), message_request })
        .collect();
    let mut client = ServerReflectionClient::new(channel);
    match client.server_reflection_info(tokio_stream::iter(questions)).await {
        Ok(answers) => answers.into_inner().collect().await,
        Err(status) => vec![Err(status)],
    }
}

/// The answer to one question.
async fn asked(app: &App, question: Question) -> Answer {
    let mut answers = ask(app, vec![Some(question.clone())]).await;
    let answer = answers.pop().unwrap().unwrap();
    assert!(answers.is_empty());
    assert_eq!(
        (&*answer.valid_host, answer.original_request.unwrap().message_request),
        ("h", Some(question))
    );
    answer.message_response.unwrap()
}

#[track_caller]
fn file(answer: Answer) -> Vec<u8> {
    match answer {
        Answer::FileDescriptorResponse(files) => files.file_descriptor_proto.concat(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn is_not_found(answer: Answer) {
    match answer {
        Answer::ErrorResponse(error) => assert_eq!(error.error_code, Code::NotFound as i32),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_served_is_told() {
    let app = reflecting().await;
    let Answer::ListServicesResponse(list) = asked(&app, Question::ListServices("*".into())).await
    else {
        panic!("a list");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    let expected = [
        "mayfly.auth.v1.AuthService",
        "mayfly.user.v1.UserService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
    ];
    assert_eq!(names, expected);
    for name in names {
        file(asked(&app, Question::FileContainingSymbol(name)).await);
    }
}

#[tokio::test]
async fn a_client_puts_the_contract_together_with_its_rules() {
    let app = reflecting().await;
    let mut pool = DescriptorPool::new();
    let mut wanted = vec!["mayfly/user/v1/user.proto".to_owned()];
    let mut found = Vec::new();
    while let Some(name) = wanted.pop() {
        if found.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let bytes = file(asked(&app, Question::FileByFilename(name.clone())).await);
        wanted.extend(
            proto::descriptors::file(&name).unwrap().imports.iter().map(ToString::to_string),
        );
        found.push((name, bytes));
    }
    // A set of files, whose options are not lost on the way.
    let mut set = Vec::new();
    for (_name, bytes) in &found {
        prost::encoding::bytes::encode(1, bytes, &mut set);
    }
    pool.decode_file_descriptor_set(&*set).unwrap();

    let service = pool.get_service_by_name("mayfly.user.v1.UserService").unwrap();
    let rule = pool.get_extension_by_name("mayfly.policy.v1.rule").unwrap();
    for method in service.methods() {
        let options = method.options();
        let rule = options.get_extension(&rule);
        let rule = rule.as_message().unwrap();
        assert!(rule.has_field_by_name("deadline"), "{}", method.full_name());
    }
    let handle = pool.get_message_by_name("mayfly.user.v1.Profile").unwrap();
    let bound = pool.get_extension_by_name("buf.validate.field").unwrap();
    assert!(handle.get_field_by_name("handle").unwrap().options().has_extension(&bound));
}

#[tokio::test]
async fn names_and_extensions_are_found_and_what_is_not_there_is_not() {
    let app = reflecting().await;
    for symbol in ["mayfly.user.v1.Profile.handle", "mayfly.user.v1.UserService.GetProfile"] {
        file(asked(&app, Question::FileContainingSymbol(symbol.into())).await);
    }
    for symbol in ["", "x", "mayfly.user.v1", "mayfly.user.v1.Profile.nothing"] {
        is_not_found(asked(&app, Question::FileContainingSymbol(symbol.into())).await);
        is_not_found(asked(&app, Question::FileByFilename(symbol.into())).await);
        is_not_found(asked(&app, Question::AllExtensionNumbersOfType(symbol.into())).await);
    }
    let options = "google.protobuf.MethodOptions";
    let Answer::AllExtensionNumbersResponse(numbers) =
        asked(&app, Question::AllExtensionNumbersOfType(options.into())).await
    else {
        panic!("numbers");
    };
    assert_eq!((&*numbers.base_type_name, &*numbers.extension_number), (options, &[51001][..]));
    let extension =
        |number| ExtensionRequest { containing_type: options.into(), extension_number: number };
    file(asked(&app, Question::FileContainingExtension(extension(51001))).await);
    for number in [0, -1, 51002, i32::MIN] {
        is_not_found(asked(&app, Question::FileContainingExtension(extension(number))).await);
    }
}

#[tokio::test]
async fn many_questions_are_answered_in_turn_and_none_is_refused() {
    let app = reflecting().await;
    let list = || Some(Question::ListServices(String::new()));
    let answers = ask(&app, vec![list(), list(), None, list()]).await;
    assert_eq!(answers.len(), 3);
    assert!(answers[..2].iter().all(Result::is_ok));
    let refusal = told(answers[2].as_ref().unwrap_err());
    assert_eq!((refusal.code, &*refusal.reason), (Code::InvalidArgument, "INVALID_ARGUMENT"));

    let long = Question::FileContainingSymbol("x".repeat(100_000));
    let answers = ask(&app, vec![Some(long)]).await;
    assert_eq!(told(answers[0].as_ref().unwrap_err()).code, Code::ResourceExhausted);
}

#[tokio::test]
async fn unless_it_is_switched_on_nothing_is_told() {
    for app in [App::start().await, App::builder().with("REFLECTION", "off").start().await] {
        let answers = ask(&app, vec![Some(Question::ListServices(String::new()))]).await;
        let refusal = told(answers[0].as_ref().unwrap_err());
        assert_eq!((refusal.code, &*refusal.reason), (Code::Unimplemented, "UNIMPLEMENTED"));
    }
}

#[tokio::test]
async fn bufs_client_calls_by_it_alone() {
    let Some(buf) = buf().await else { return };
    let app = reflecting().await;
    let ada = app.person("ada-uid");
    ada.creates_public_profile("ada").await;
    let url = format!("http://{}", app.address);
    let service = format!("{url}/mayfly.user.v1.UserService");
    let common =
        ["curl", "--http2-prior-knowledge", "--protocol", "grpc", "--reflect-protocol", "grpc-v1"];

    let listed = buf.run(&common, &["--list-methods", &url]).await;
    assert_eq!(listed.code(), Some(0), "{listed:?}");
    let listed: Vec<_> = listed.stdout.lines().collect();
    for method in proto::METHODS {
        assert!(
            listed.contains(&method.path.trim_start_matches('/')),
            "{} in {listed:?}",
            method.path
        );
    }

    let token = format!("authorization: Bearer {}", ada.token.as_deref().unwrap());
    let get = ["--header", &token, "--data", "{}", &format!("{service}/GetProfile")];
    let got = buf.run(&common, &get).await;
    assert_eq!(got.code(), Some(0), "{got:?}");
    let got: serde_json::Value = serde_json::from_str(&got.stdout).unwrap();
    assert_eq!((&got["userId"], &got["handle"]), (&"ada-uid".into(), &"ada".into()));
}
