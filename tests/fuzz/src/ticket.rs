//! What clients carry for us, page tokens and cursors alike: only what was sealed is opened.

use ticket::Signer;

pub(crate) fn run(data: &[u8]) {
    let Some((&cut, rest)) = data.split_first() else { return };
    let (key, text) = rest.split_at(usize::from(cut).min(rest.len()));
    let signer = Signer::new(key, &[b"rpc", b"caller"]);
    let sealed = signer.seal(text);
    assert_eq!(signer.open(&sealed).as_deref(), Some(text));
    assert_eq!(Signer::new(key, &[b"rpc", b"other"]).open(&sealed), None);
    if let Ok(text) = std::str::from_utf8(text)
        && let Some(content) = signer.open(text)
    {
        assert_eq!(signer.seal(&content), text, "opened what was never sealed");
    }
}
