//! Reads JSON token by token, without a copy. Much of an answer is skipped, and most keys are known
//! before they are read.
//!
//! It accepts exactly the texts that `serde_json` accepts. Escaped texts are read by `serde_json`.

use memchr::memchr2;

/// The text is not JSON, or it is nested too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

/// A JSON text and a position in it.
#[derive(Debug)]
pub struct Json<'a> {
    text: &'a str,
    at: usize,
    /// Number of lists and objects that are open.
    depth: usize,
    /// True if there is any control character. JSON has none inside a string.
    has_controls: bool,
    /// The closing brackets of the lists and objects that are being skipped.
    open: Vec<u8>,
}

/// A string of a JSON text.
#[derive(Debug)]
pub enum JsonText<'a> {
    /// It has no escapes.
    Plain(&'a str),
    Unescaped(String),
}

impl JsonText<'_> {
    pub fn as_str(&self) -> &str {
        match self {
            JsonText::Plain(text) => text,
            JsonText::Unescaped(text) => text,
        }
    }
}

/// A number of a JSON text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Int(i64),
    /// Larger than an `i64`.
    Uint(u64),
    /// Not an integer, or larger than a `u64`, or -0.
    Float(f64),
}

/// Number of nested lists and objects that `serde_json` refuses.
const TOO_DEEP: usize = 128;

impl<'a> Json<'a> {
    pub fn new(text: &'a str) -> Self {
        let is_control = |byte: u8| byte < b' ';
        Json {
            text,
            at: 0,
            depth: 0,
            // Without an early end, the compiler compares many bytes at once.
            has_controls: text.bytes().fold(false, |any, byte| any | is_control(byte)),
            open: Vec::new(),
        }
    }

    /// Returns the first byte of the next token.
    ///
    /// # Errors
    /// The text ends.
    pub fn peek(&mut self) -> Result<u8, NotJson> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(byte) => return Ok(byte),
                None => return Err(NotJson),
            }
        }
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    /// Something follows.
    pub fn end(&mut self) -> Result<(), NotJson> {
        match self.peek() {
            Ok(_) => Err(NotJson),
            Err(NotJson) => Ok(()),
        }
    }

    /// Reads the bracket that opens a list or an object.
    ///
    /// # Errors
    /// The text is nested too deeply.
    pub fn open(&mut self) -> Result<(), NotJson> {
        self.at += 1;
        self.depth += 1;
        if self.depth < TOO_DEEP {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    /// Returns whether there is another entry of a list or an object before the bracket `end`. Reads the
    /// comma before it, or the bracket.
    ///
    /// # Errors
    /// Neither follows.
    pub fn has_next(&mut self, end: u8, is_first: bool) -> Result<bool, NotJson> {
        let next = self.peek()?;
        if next == end {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !is_first {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// Reads a key and its colon if the key is this one, which needs no escapes. Returns whether it is.
    ///
    /// # Errors
    /// The text ends, or the key has no colon.
    pub fn skip_key(&mut self, name: &str) -> Result<bool, NotJson> {
        self.peek()?;
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is_it = rest.first() == Some(&b'"')
            && rest[1..].starts_with(name.as_bytes())
            && rest.get(1 + name.len()) == Some(&b'"');
        if is_it {
            self.at += name.len() + 2;
            self.expect(b':')?;
        }
        Ok(is_it)
    }

    /// Reads a key and its colon.
    ///
    /// # Errors
    /// No key follows.
    pub fn key(&mut self) -> Result<JsonText<'a>, NotJson> {
        if self.peek()? != b'"' {
            return Err(NotJson);
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// Reads the string that begins here.
    ///
    /// # Errors
    /// It does not end, or it has a control character or an invalid escape.
    pub fn string(&mut self) -> Result<JsonText<'a>, NotJson> {
        let start = self.at;
        if self.skip_string()? {
            Ok(JsonText::Plain(&self.text[start + 1..self.at - 1]))
        } else {
            let unescaped = serde_json::from_str(&self.text[start..self.at]);
            unescaped.map(JsonText::Unescaped).map_err(|_| NotJson)
        }
    }

    /// Reads the number that begins here.
    ///
    /// # Errors
    /// It is not a number of JSON, or larger than an `f64`.
    pub fn number(&mut self) -> Result<Number, NotJson> {
        let start = self.at;
        let is_integer = self.skip_number()?;
        let token = &self.text[start..self.at];
        if is_integer && token != "-0" {
            if let Ok(number) = token.parse() {
                return Ok(Number::Int(number));
            }
            if let Ok(number) = token.parse() {
                return Ok(Number::Uint(number));
            }
        }
        match token.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Number::Float(number)),
            _ => Err(NotJson),
        }
    }

    /// Reads `true`, `false` or `null`.
    ///
    /// # Errors
    /// Something else follows.
    pub fn word(&mut self, word: &str) -> Result<(), NotJson> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    /// Skips the next value, and returns it as it is written.
    ///
    /// # Errors
    /// No value follows.
    pub fn skip(&mut self) -> Result<&'a str, NotJson> {
        self.peek()?;
        let start = self.at;
        let mut open = std::mem::take(&mut self.open);
        open.clear();
        loop {
            let is_open = self.skip_begin(&mut open)?;
            if !is_open && !self.skip_ends(&mut open)? {
                self.open = open;
                return Ok(&self.text[start..self.at]);
            }
        }
    }

    /// Skips a value that is neither a list nor an object, or the opening bracket of one that has entries.
    /// Returns whether it is such a bracket.
    fn skip_begin(&mut self, open: &mut Vec<u8>) -> Result<bool, NotJson> {
        let end = match self.peek()? {
            b'{' => b'}',
            b'[' => b']',
            b'"' => return self.skip_string().map(|_| false),
            b't' => return self.word("true").map(|()| false),
            b'f' => return self.word("false").map(|()| false),
            b'n' => return self.word("null").map(|()| false),
            _ => return self.skip_number().map(|_| false),
        };
        self.at += 1;
        if self.peek()? == end {
            self.at += 1;
            return Ok(false);
        }
        open.push(end);
        if end == b'}' {
            self.skip_any_key()?;
        }
        Ok(true)
    }

    /// Skips the brackets that close after a value, and the comma and the key before the next value.
    /// Returns whether there is one.
    fn skip_ends(&mut self, open: &mut Vec<u8>) -> Result<bool, NotJson> {
        while let Some(&end) = open.last() {
            if self.peek()? == end {
                self.at += 1;
                open.pop();
                continue;
            }
            self.expect(b',')?;
            if end == b'}' {
                self.skip_any_key()?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    fn skip_any_key(&mut self) -> Result<(), NotJson> {
        if self.peek()? != b'"' {
            return Err(NotJson);
        }
        self.skip_string()?;
        self.expect(b':')
    }

    /// Skips the string that begins here. Returns whether it has no escapes.
    fn skip_string(&mut self) -> Result<bool, NotJson> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut is_plain = true;
        loop {
            at += memchr2(b'"', b'\\', &bytes[at..]).ok_or(NotJson)?;
            if bytes[at] == b'"' {
                break;
            }
            is_plain = false;
            at += escape_length(&bytes[at..])?;
        }
        if self.has_controls && bytes[start..at].iter().any(|byte| *byte < b' ') {
            return Err(NotJson);
        }
        self.at = at + 1;
        Ok(is_plain)
    }

    /// Skips the number that begins here. Returns whether it is written as an integer.
    fn skip_number(&mut self) -> Result<bool, NotJson> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.skip_digits()?,
        }
        let mut is_integer = true;
        if self.byte() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            is_integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Ok(is_integer)
    }

    /// Skips one or more digits.
    fn skip_digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek()? == byte {
            self.at += 1;
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// Returns the length of the escape that these bytes begin with.
fn escape_length(bytes: &[u8]) -> Result<usize, NotJson> {
    match bytes.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => match bytes.get(2..6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(6),
            _ => Err(NotJson),
        },
        _ => Err(NotJson),
    }
}
