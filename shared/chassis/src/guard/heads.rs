//! HTTP/1.1's heads, as a client sends them: refused where two servers could read them differently,
//! since what the one takes for a body the other would take for the next request.
//!
//! hyper reads a bare line feed as the end of a line, and takes a length beside chunks for chunks.
//! Behind a proxy that reads it otherwise, a stranger's request would be answered to somebody else.

/// What hyper takes for the end of a malformed head (400), wherever in a head it stands.
pub(super) const MALFORMED: &[u8] = b"\0\r\n\r\n";

/// The longest line of a head that is looked at; hyper reads no longer head than this either.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How far a client has come with what it sends.
#[derive(Debug, Default)]
pub(super) struct Heads {
    part: Part,
    line: Vec<u8>,
    framing: Framing,
    /// Whether a head has come to its end.
    has_read_one: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Part {
    /// Before the request's line.
    #[default]
    Start,
    Fields,
    /// So much is left of a body.
    Body(u64),
    /// Chunks. The connection ends with their answer, so that nobody has to find their end.
    Rest,
}

/// What a head says about the length of its body.
#[derive(Clone, Copy, Debug, Default)]
struct Framing {
    length: Option<u64>,
    is_chunked: bool,
}

/// A line that is not taken.
#[derive(Debug)]
struct Refused;

impl Heads {
    /// Whether the first head is still to come.
    pub(super) fn is_first(&self) -> bool {
        !self.has_read_one
    }

    /// Follows what was sent. Tells before which byte it is refused.
    pub(super) fn scan(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < chunk.len() {
            match self.part {
                Part::Rest => return None,
                Part::Body(left) => {
                    let here = u64::try_from(chunk.len() - at).unwrap_or(u64::MAX).min(left);
                    at += usize::try_from(here).unwrap_or(usize::MAX);
                    self.part = if here == left { Part::Start } else { Part::Body(left - here) };
                }
                Part::Start | Part::Fields => {
                    if self.byte(chunk[at]).is_err() {
                        return Some(at);
                    }
                    at += 1;
                }
            }
        }
        None
    }

    fn byte(&mut self, byte: u8) -> Result<(), Refused> {
        let follows_cr = self.line.last() == Some(&b'\r');
        // One without the other ends a line for some and not for others.
        if follows_cr != (byte == b'\n') || self.line.len() == LINE_BYTES_MAX {
            return Err(Refused);
        }
        if byte != b'\n' {
            self.line.push(byte);
            return Ok(());
        }
        self.line.pop();
        let line = std::mem::take(&mut self.line);
        self.part = self.after(&line)?;
        self.line = line;
        self.line.clear();
        Ok(())
    }

    /// A whole line, and what follows it.
    fn after(&mut self, line: &[u8]) -> Result<Part, Refused> {
        match (self.part, line) {
            // Empty lines before a request are passed over.
            (Part::Start, []) => Ok(Part::Start),
            (Part::Start, _request) => Ok(Part::Fields),
            (_, []) => self.end_head(),
            // What some take for more of the last line.
            (_, [b' ' | b'\t', ..]) => Err(Refused),
            (_, field) => self.field(field).map(|()| Part::Fields),
        }
    }

    /// A whole head, and what follows it.
    fn end_head(&mut self) -> Result<Part, Refused> {
        self.has_read_one = true;
        match std::mem::take(&mut self.framing) {
            Framing { length: Some(_), is_chunked: true } => Err(Refused),
            Framing { is_chunked: true, .. } => Ok(Part::Rest),
            Framing { length: None | Some(0), .. } => Ok(Part::Start),
            Framing { length: Some(length), .. } => Ok(Part::Body(length)),
        }
    }

    fn field(&mut self, field: &[u8]) -> Result<(), Refused> {
        let colon = field.iter().position(|byte| *byte == b':').ok_or(Refused)?;
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        let framing = &mut self.framing;
        if name.eq_ignore_ascii_case(b"content-length") {
            let is_first = framing.length.is_none();
            let digits = value.iter().all(u8::is_ascii_digit).then_some(value).ok_or(Refused)?;
            let length = str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            framing.length = Some(length.filter(|_| is_first).ok_or(Refused)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if framing.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refused);
            }
            framing.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            // Whatever came after it would be in another protocol, which nothing here speaks.
            return Err(Refused);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "POST /x HTTP/1.1\r\nhost: x\r\n";

    fn is_taken(sent: &str) -> bool {
        let whole = Heads::default().scan(sent.as_bytes());
        for cut in 0..sent.len() {
            let mut heads = Heads::default();
            let (first, second) = sent.as_bytes().split_at(cut);
            let at = heads.scan(first).or_else(|| Some(cut + heads.scan(second)?));
            assert_eq!(at, whole, "{sent:?} cut at {cut}");
        }
        whole.is_none()
    }

    #[test]
    fn what_everybody_reads_alike_is_taken() {
        for fields in [
            "\r\n",
            "content-length: 5\r\n\r\na\nb\rc",
            "Content-Length:0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "content-length: 3\r\n\r\nabc\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
            "transfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\n\n",
        ] {
            assert!(is_taken(&format!("{START}{fields}")), "{fields:?}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for fields in [
            "a: b\n\r\n",
            "\n",
            "a: b\r\r\n\r\n",
            "a: b\rc: d\r\n\r\n",
            "a: b\r\n c: d\r\n\r\n",
            "a: b\r\n\tcontent-length: 3\r\n\r\n",
            "content-length: 3\r\ncontent-length: 3\r\n\r\n",
            "content-length: 3, 3\r\n\r\n",
            "content-length: +3\r\n\r\n",
            "content-length: \r\n\r\n",
            "content-length: 99999999999999999999\r\n\r\n",
            "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
            "transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
            "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n",
            "transfer-encoding: chunked, chunked\r\n\r\n",
            "transfer-encoding: xchunked\r\n\r\n",
            "upgrade: h2c\r\n\r\n",
            "no colon\r\n\r\n",
            "content-length: 3\r\n\r\nabcGET / HTTP/1.1\n\r\n",
        ] {
            assert!(!is_taken(&format!("{START}{fields}")), "{fields:?}");
        }
        assert!(!is_taken("POST /x HTTP/1.1\nhost: x\r\n\r\n"));
    }
}
