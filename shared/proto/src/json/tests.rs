mod user;
mod values;

use std::error::Error;

use prost::Message;

use crate::{METHODS, Method, probe_tables::generated};

/// Finds an RPC by its own name.
#[track_caller]
fn method(name: &str) -> &'static Method {
    let mut all = METHODS.iter().chain(generated::METHODS);
    all.find(|method| method.name == name).unwrap()
}

/// Returns the request that a JSON text is, or what is wrong with it.
#[track_caller]
fn request<M: Message + Default>(rpc: &str, json: &str) -> Result<M, String> {
    let translate = method(rpc).json.as_ref().unwrap().request;
    let bytes = translate(json.as_bytes()).map_err(|error| error.source().unwrap().to_string())?;
    let message = M::decode(bytes.as_slice()).unwrap();

    // Only the order of the fields may differ from prost's.
    assert_eq!(message.encoded_len(), bytes.len(), "{json}");
    Ok(message)
}

/// Returns the JSON text of an answer, or what is wrong with it.
#[track_caller]
fn answer(rpc: &str, message: &impl Message) -> Result<String, String> {
    let translate = method(rpc).json.as_ref().unwrap().response;
    let text = translate(&message.encode_to_vec());
    text.map(|text| String::from_utf8(text).unwrap())
        .map_err(|error| error.source().unwrap().to_string())
}
