//! JSON for people.

/// Returns a JSON text with a line for each value, its fields in the order they came in.
pub(crate) fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if is_text {
            out.push(letter);
            is_text = is_escaped || letter != '"';
            is_escaped = !is_escaped && letter == '\\';
            continue;
        }
        match letter {
            '{' | '[' => {
                out.push(letter);
                if let Some(end @ ('}' | ']')) = letters.peek().copied() {
                    letters.next();
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(letter);
            }
            ',' => {
                out.push(letter);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            '"' => {
                out.push(letter);
                is_text = true;
            }
            letter if letter.is_whitespace() => {}
            letter => out.push(letter),
        }
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_a_line_and_a_text_is_left_alone() {
        let text = r#"{"b":[1,{"a\"}":"x: {,\\"}],"a":{},"c":[]}"#;
        let expected = "{
  \"b\": [
    1,
    {
      \"a\\\"}\": \"x: {,\\\\\"
    }
  ],
  \"a\": {},
  \"c\": []
}";
        assert_eq!(pretty(text), expected);
        assert_eq!(pretty(expected), expected);
        assert_eq!(pretty("{}"), "{}");
    }
}
