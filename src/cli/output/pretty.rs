//! JSON on many lines, made of JSON on one line as it passes.

use std::io::{self, Write};

/// Writes JSON indented. Changes the white space between values only, so that numbers and texts
/// stay as they are written.
pub struct Pretty<W> {
    out: W,
    depth: usize,
    is_in_text: bool,
    is_escaped: bool,
    /// True after a bracket that opens, until its first value.
    is_opened: bool,
}

impl<W: Write> Pretty<W> {
    pub fn new(out: W) -> Self {
        Pretty {
            out,
            depth: 0,
            is_in_text: false,
            is_escaped: false,
            is_opened: false,
        }
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.is_in_text {
            out.push(byte);
            self.is_in_text = self.is_escaped || byte != b'"';
            self.is_escaped = !self.is_escaped && byte == b'\\';
            return;
        }
        let is_empty = std::mem::take(&mut self.is_opened);
        if matches!(byte, b'}' | b']') {
            self.depth = self.depth.saturating_sub(1);
            if !is_empty {
                self.new_line(out);
            }
        } else if is_empty {
            self.new_line(out);
        }
        out.push(byte);
        match byte {
            b'"' => self.is_in_text = true,
            b'{' | b'[' => {
                self.depth += 1;
                self.is_opened = true;
            }
            b',' => self.new_line(out),
            b':' => out.push(b' '),
            _ => {}
        }
    }

    fn new_line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * self.depth));
    }
}

impl<W: Write> Write for Pretty<W> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        let mut indented = Vec::with_capacity(json.len() * 2);
        for byte in json {
            self.byte(*byte, &mut indented);
        }
        self.out.write_all(&indented)?;
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_is_added() {
        let json = r#"[{"a":1.10,"b":"x: {\"y\\","c":[],"d":{},"e":[{"f":null},[1e3]]},{}]"#;
        let mut out = Vec::new();
        let mut pretty = Pretty::new(&mut out);
        // In pieces, as a writer gives it.
        for byte in json.as_bytes() {
            pretty.write_all(&[*byte]).expect("memory");
        }
        let expected = r#"[
  {
    "a": 1.10,
    "b": "x: {\"y\\",
    "c": [],
    "d": {},
    "e": [
      {
        "f": null
      },
      [
        1e3
      ]
    ]
  },
  {}
]"#;
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }
}
