//! Messages that an RPC takes, made from its descriptor, so that an attack comes as far as it can.

use std::time::Duration;

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage,
    Value, prost::Message,
};
use proto::{Kind as Stream, Method};

use super::scene::Scene;
use crate::wire::raw::{Answer, Call, framed};

/// How long a stream is listened to.
const LISTENED: Duration = Duration::from_millis(700);

/// How often a message is mended that its contract refuses.
const MENDINGS_MAX: usize = 12;

/// What texts say, so that it is found where it should not be.
pub(super) const CANARY: &str = "canary of the victim";

/// An id of nothing at all, which every contract takes.
pub(super) const OF_NOTHING: &str = "0198c0de-0000-7000-8000-000000000000";

/// What a message is filled with.
#[derive(Clone, Debug)]
pub(super) struct Filling<'a> {
    /// Every id of it.
    pub(super) ids: &'a [String],
    /// Every free text of it.
    pub(super) text: &'a str,
    /// Whatever is to be nobody else's.
    pub(super) name: &'a str,
}

/// An RPC's request.
pub(super) fn request(method: &Method) -> MessageDescriptor {
    let pool = DescriptorPool::decode(proto::descriptors::SET).unwrap();
    let service = pool.get_service_by_name(method.service).unwrap();
    let rpc = service.methods().find(|rpc| rpc.name() == method.name).unwrap();
    rpc.input()
}

/// Whether a field names something that is somebody's.
fn is_id(field: &FieldDescriptor) -> bool {
    is_named_like_an_id(field) && field.kind() == Kind::String
}

pub(super) fn is_named_like_an_id(field: &FieldDescriptor) -> bool {
    let name = field.name();
    name == "id" || name == "uid" || name.ends_with("_id") || name.ends_with("_ids")
}

/// Whether it is one of several of which one is set, and not the first.
pub(super) fn is_second(field: &FieldDescriptor) -> bool {
    let first = field.containing_oneof().and_then(|oneof| oneof.fields().next());
    first.is_some_and(|first| first.number() != field.number())
}

/// Whether an id stands anywhere in a message, and whether there may be several of them.
pub(super) fn has_ids(descriptor: &MessageDescriptor, depth: usize) -> Option<bool> {
    let of_field = |field: FieldDescriptor| match field.kind() {
        _ if is_id(&field) => Some(field.is_list()),
        Kind::Message(inner) if depth > 0 => {
            has_ids(&inner, depth - 1).map(|several| several || field.is_list())
        }
        _ => None,
    };
    descriptor.fields().filter_map(of_field).max()
}

/// A message with every field set, but for those that `gaps` tells of where they hold an id.
pub(super) fn filled(
    descriptor: &MessageDescriptor,
    filling: &Filling<'_>,
    depth: usize,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let is_too_deep = depth == 0 && matches!(field.kind(), Kind::Message(_));
        if is_second(&field) || field.is_map() || is_too_deep {
            continue;
        }
        if field.is_list() {
            message.set_field(&field, Value::List(several(&field, filling, depth)));
        } else if let Some(value) = one(&field, filling, depth) {
            message.set_field(&field, value);
        }
    }
    message
}

/// One element for each id, or one where there is none in it.
fn several(field: &FieldDescriptor, filling: &Filling<'_>, depth: usize) -> Vec<Value> {
    let has_ids = match field.kind() {
        Kind::Message(inner) => has_ids(&inner, depth - 1).is_some(),
        _ => is_id(field),
    };
    if !has_ids {
        return one(field, filling, depth).into_iter().collect();
    }
    let of = |id| one(field, &Filling { ids: std::slice::from_ref(id), ..*filling }, depth);
    filling.ids.iter().filter_map(of).collect()
}

fn one(field: &FieldDescriptor, filling: &Filling<'_>, depth: usize) -> Option<Value> {
    Some(match field.kind() {
        Kind::String => Value::String(text(field, filling)?),
        Kind::Bytes => Value::Bytes(filling.text.as_bytes().to_vec().into()),
        Kind::Bool => Value::Bool(true),
        Kind::Double => Value::F64(1.0),
        Kind::Float => Value::F32(1.0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(1),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(1),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(1),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(1),
        // The first that means something: the most private, by the house's habit.
        Kind::Enum(values) => {
            let known = values.values().map(|value| value.number());
            Value::EnumNumber(known.filter(|number| *number > 0).min().unwrap_or(0))
        }
        // Left out, it means what is set.
        Kind::Message(inner) if inner.full_name() == "google.protobuf.FieldMask" => return None,
        Kind::Message(inner) => Value::Message(filled(&inner, filling, depth - 1)),
    })
}

fn text(field: &FieldDescriptor, filling: &Filling<'_>) -> Option<String> {
    Some(match field.name() {
        _ if is_id(field) => filling.ids.last()?.clone(),
        "etag" | "page_token" | "cursor" => return None,
        "locale" => "en".to_owned(),
        "handle" => filling.name.to_owned(),
        name if name.contains("email") => format!("{}@example.com", filling.name),
        name if name.contains("prefix") => filling.name.chars().take(1).collect(),
        name if name.contains("password") => "correct horse battery".to_owned(),
        _ => filling.text.to_owned(),
    })
}

/// A call of an RPC with this message.
pub(super) fn call(method: &Method, message: &DynamicMessage) -> Call {
    let call = Call::grpc(method.path, framed(0, &message.encode_to_vec()));
    let call = call.key(&Scene::fresh_key());
    if method.kind == Stream::Unary {
        return call;
    }
    call.header("grpc-timeout", format!("{}m", LISTENED.as_millis()))
}

/// Asks as whoever `token` makes of the caller, and leaves out what the contract refuses.
pub(super) async fn ask(
    scene: &Scene,
    method: &Method,
    token: &str,
    message: &mut DynamicMessage,
) -> Answer {
    ask_by(scene, method, message, |call| call.token(Some(token))).await
}

/// Asks by a call with all that `dressed` gives it, and leaves out what the contract refuses.
pub(super) async fn ask_by(
    scene: &Scene,
    method: &Method,
    message: &mut DynamicMessage,
    dressed: impl Fn(Call) -> Call,
) -> Answer {
    for _mending in 0..MENDINGS_MAX {
        let answer = dressed(call(method, message)).send(scene.app.address).await;
        let status = answer.grpc_status();
        let is_mended = status.code() == tonic::Code::InvalidArgument
            && answer.told().fields.iter().any(|path| clear(message, path));
        if !is_mended {
            return answer;
        }
    }
    panic!("{} refuses whatever it is sent: {message:?}", method.path);
}

/// Takes a field out of a message, if it is there. Of a list all is taken.
fn clear(message: &mut DynamicMessage, path: &str) -> bool {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let name = first.split('[').next().unwrap_or_default();
    let Some(field) = message.descriptor().get_field_by_name(name) else { return false };
    if !message.has_field(&field) {
        return false;
    }
    if let (false, false, Value::Message(inner)) =
        (rest.is_empty(), field.is_list(), message.get_field_mut(&field))
    {
        return clear(inner, rest);
    }
    message.clear_field(&field);
    true
}
