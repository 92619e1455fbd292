//! JSON of every message that an RPC takes: what is read is written and read again to the same bytes.

use proto::METHODS;

pub(crate) fn run(data: &[u8]) {
    let Some((&which, text)) = data.split_first() else { return };
    let method = METHODS[usize::from(which) % METHODS.len()];
    if let Some(json) = &method.json {
        // A request has no way back to JSON here; that it is read twice alike is enough.
        let once = (json.request)(text).ok();
        assert_eq!(once, (json.request)(text).ok());
        // An answer is made by us; a stranger's bytes must not break its writer either.
        if let Ok(written) = (json.response)(text) {
            serde_json::from_slice::<serde_json::Value>(&written).expect("we write JSON");
        }
    }
}
