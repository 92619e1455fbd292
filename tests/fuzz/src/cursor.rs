//! What is in a cursor, as if we had sealed it: a place in a log, and whether the log still has it.

pub(crate) fn run(data: &[u8]) {
    let Some((numbers, content)) = data.split_first_chunk::<16>() else { return };
    let (swept, horizon) = numbers.split_at(8);
    let number = |bytes: &[u8]| i64::from_be_bytes(bytes.try_into().expect("eight of them"));
    let (swept, horizon) = (number(swept), number(horizon));
    let Some((epoch, place, keeps, is_same)) = changes::fuzzing::cursor(content, swept, horizon)
    else {
        return;
    };
    assert!(is_same, "written and read, it is another");
    assert_eq!((content[0], content.len()), (1, 33), "a form that we never wrote");
    let [xid, sequence] = place;
    let is_between = (xid, sequence) >= (swept, 0) && (xid, sequence) <= (horizon, 0);
    assert_eq!(keeps, epoch == [7; 16] && is_between);
}
