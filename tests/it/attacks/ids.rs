//! What is somebody else's: their id in every id field, alone and among one's own.

use proto::Mutation;
use tonic::Code;

use super::{
    Table,
    ask::{self, CANARY, Filling},
    methods,
    scene::{Scene, holds, person},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_victim_is_had_or_changed_by_an_id_in_any_field() {
    let scene = Scene::with_victim().await;
    // The victim has something, and finds it: what is looked for can be found at all.
    assert!(scene.of_the_victim().await != "nothing0");
    let mut table = Table::default();
    let (mut reached, mut found) = (0, 0);
    for method in methods() {
        let request = ask::request(method);
        let Some(is_batch) = ask::has_ids(&request, 4) else {
            table.note(method, "another's id", "no id in it");
            continue;
        };
        for id in &scene.ids {
            let alone = vec![id.clone()];
            let among = vec!["eve".to_owned(), id.clone()];
            let attacks = [("another's id", &alone), ("another's id among one's own", &among)];
            for (attack, ids) in attacks {
                if ids.len() > 1 && !is_batch {
                    continue;
                }
                let before = scene.of_the_victim().await;
                let filling = Filling { ids, text: "x", name: "eve" };
                let mut message = ask::filled(&request, &filling, 4);
                let answer = ask::ask(&scene, method, &person("eve"), &mut message).await;
                let code = answer.grpc_status().code();
                let text = String::from_utf8_lossy(&answer.body);
                assert!(!text.contains(CANARY), "{} {attack} {id}: {text}", method.path);
                let after = scene.of_the_victim().await;
                assert_eq!(after, before, "{} {attack} {id} changed something", method.path);
                if holds(&message, id) {
                    reached += 1;
                    table.note(method, attack, format!("{code:?}"));
                }
                assert_ne!(code, Code::Internal, "{} {attack} {id}", method.path);

                // The victim's own call of the same tells what there would have been to have.
                if method.rule.mutation != Mutation::NoSideEffects {
                    continue;
                }
                let call = ask::call(method, &message).token(Some(&person("victim")));
                let own = call.send(scene.app.address).await;
                found += usize::from(String::from_utf8_lossy(&own.body).contains(CANARY));
            }
        }
    }
    table.print("another's ids, by RPC");
    assert!(reached > 0, "no id came as far as a handler");
    assert!(found > 0, "not even the victim finds what is looked for");
}
