//! What is somebody else's: their id in every id field, alone and among one's own.

use std::collections::BTreeMap;

use prost_reflect::DynamicMessage;
use proto::{Access, Kind as Stream, Method, Mutation};
use tonic::Code;

use super::{
    Table,
    ask::{self, CANARY, Filling},
    methods,
    scene::{Scene, holds, person},
};
use crate::wire::raw::Answer;

/// Another's id in the id fields of an RPC, by itself or behind one's own.
struct Attack<'a> {
    method: &'static Method,
    name: &'static str,
    id: &'a str,
    ids: Vec<String>,
}

/// Each of the victim's ids in a field for one, and among the caller's own where there is room.
fn attacks<'a>(method: &'static Method, id: &'a str) -> Vec<Attack<'a>> {
    let ids = vec![id.to_owned()];
    let alone = Attack { method, name: "another's id", id, ids };
    let ids = vec!["eve".to_owned(), id.to_owned()];
    let among = Attack { method, name: "another's id among one's own", id, ids };
    match ask::has_ids(&ask::request(method), 4) {
        Some(true) => vec![alone, among],
        Some(false) => vec![alone],
        None => Vec::new(),
    }
}

impl Attack<'_> {
    /// What eve is told, and the message as far as its contract takes it.
    async fn make(&self, scene: &Scene) -> (DynamicMessage, Answer) {
        let filling = Filling { ids: &self.ids, text: "x", name: "eve" };
        let mut message = ask::filled(&ask::request(self.method), &filling, 4);
        let before = scene.of_the_victim().await;
        let answer = ask::ask(scene, self.method, &person("eve"), &mut message).await;
        let after = scene.of_the_victim().await;
        assert_eq!(after, before, "{} changed something", self.about());
        (message, answer)
    }

    fn about(&self) -> String {
        format!("{} {} {}", self.method.path, self.name, self.id)
    }

    /// Insists that eve is told what she would be if it were nobody's.
    fn is_refused(&self, answer: &Answer) {
        let (about, code) = (self.about(), answer.grpc_status().code());
        assert!(self.may_tell(code), "{about}: {code:?}");
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!text.contains(CANARY), "{about}: {text}");
        let reads = self.method.rule.mutation == Mutation::NoSideEffects;
        // A watch names those of whom there is nothing to be seen.
        if code == Code::Ok && reads && self.method.kind == Stream::Unary {
            assert!(!text.contains(self.id), "{about}: {text}");
            // What is one's own is answered all the same.
            assert_eq!(text.contains("eve"), self.ids.len() > 1, "{about}: {text}");
        }
    }

    /// Whether the id came as far as a handler, and was one that it could look up.
    fn has_reached(&self, message: &DynamicMessage, answer: &Answer) -> bool {
        let kept_out = [Code::PermissionDenied, Code::InvalidArgument];
        holds(message, self.id) && !kept_out.contains(&answer.grpc_status().code())
    }

    /// Eve has none, so she is kept out whatever she asks for.
    fn needs_a_role(&self) -> bool {
        matches!(self.method.rule.access, Access::Role { .. } | Access::Service { .. })
    }

    fn may_tell(&self, code: Code) -> bool {
        match (self.method.rule.access, code) {
            _ if self.needs_a_role() => code == Code::PermissionDenied,
            (_, Code::Ok | Code::NotFound | Code::InvalidArgument) => true,
            // A stream is listened to until its time is over.
            (_, Code::DeadlineExceeded) => self.method.kind != Stream::Unary,
            // An id that is told with a secret says who calls.
            (access, Code::Unauthenticated) => access == Access::Public,
            // She has one of her own.
            (_, Code::AlreadyExists) => self.method.name.starts_with("Create"),
            _ => false,
        }
    }
}

/// Eve has a profile of her own, or a batch would hold nothing in any case.
async fn has_a_profile(scene: &Scene) {
    let method = methods().find(|method| method.name == "CreateProfile").unwrap();
    let filling = Filling { ids: &[], text: "x", name: "eve" };
    let mut message = ask::filled(&ask::request(method), &filling, 4);
    let answer = ask::ask(scene, method, &person("eve"), &mut message).await;
    assert_eq!(answer.grpc_status().code(), Code::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_victim_is_had_or_changed_by_an_id_in_any_field() {
    let scene = Scene::with_victim().await;
    has_a_profile(&scene).await;
    // The victim has something, and finds it: what is looked for can be found at all.
    assert!(scene.of_the_victim().await != "nothing0");
    let mut table = Table::default();
    let (mut reached, mut found) = (BTreeMap::new(), 0);
    for method in methods() {
        if ask::has_ids(&ask::request(method), 4).is_none() {
            table.note(method, "another's id", "no id in it");
        }
        for attack in scene.ids.iter().flat_map(|id| attacks(method, id)) {
            let (message, answer) = attack.make(&scene).await;
            attack.is_refused(&answer);
            let has_reached = attack.has_reached(&message, &answer) || attack.needs_a_role();
            *reached.entry((method.path, attack.name)).or_insert(false) |= has_reached;
            if holds(&message, attack.id) {
                table.note(method, attack.name, format!("{:?}", answer.grpc_status().code()));
            }
            // The victim's own call of the same tells what there would have been to have.
            if method.rule.mutation == Mutation::NoSideEffects {
                let call = ask::call(method, &message).token(Some(&person("victim")));
                let own = call.send(scene.app.address).await;
                found += usize::from(String::from_utf8_lossy(&own.body).contains(CANARY));
            }
        }
    }
    table.print("another's ids, by RPC");
    for ((path, attack), has_reached) in reached {
        assert!(has_reached, "{attack} came as far as no handler of {path}");
    }
    assert!(found > 0, "not even the victim finds what is looked for");
}
