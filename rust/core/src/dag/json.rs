//! DAG-JSON: the one canonical JSON of a value; links and bytes under the reserved key `"/"`.
//!
//! Not a JSON library. The rules: [`decode`] accepts exactly what [`encode`] writes; [`decode_relaxed`] also accepts what
//! people type and other programs write (spaces, any order of keys, other escapes), but never two readings of one text.
//! Spec: <https://ipld.io/specs/codecs/dag-json/spec/>. Where it is silent, canonical text is what ECMAScript's
//! `JSON.stringify` and `Number::toString` give (as the reference JavaScript codec does), except that a whole float keeps
//! `.0`, so that integers and floats round trip.

use super::value::{INTEGER_MAX, INTEGER_MIN};
use super::{Budget, DagError, Map, Reason, Value};
use crate::cid::{Cid, codec::DAG_JSON};
use crate::limits::DECODE_DEPTH_MAX;
use multibase::Base::Base64;
use std::borrow::Cow;

/// The reserved key, and the key under it that announces bytes.
const RESERVED: &str = "/";
const BYTES: &str = "bytes";

/// The canonical block of a value.
///
/// # Errors
/// Integers outside ±2^64, NaN, infinities, nesting deeper than [`DECODE_DEPTH_MAX`], and maps that would be read back as a
/// link or as bytes.
pub fn encode(value: &Value) -> Result<Vec<u8>, DagError> {
    let mut out = String::new();
    write(value, 0, &mut out).map_err(|reason| DagError::Unencodable { codec: DAG_JSON, reason })?;
    Ok(out.into_bytes())
}

fn write(value: &Value, depth: usize, out: &mut String) -> Result<(), Reason> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(false) => out.push_str("false"),
        Value::Bool(true) => out.push_str("true"),
        Value::Integer(n) if !(INTEGER_MIN..=INTEGER_MAX).contains(n) => return Err(Reason::IntegerRange),
        Value::Integer(n) => out.push_str(&n.to_string()),
        Value::Float(x) if !x.is_finite() => return Err(Reason::NotFinite),
        Value::Float(x) => write_float(*x, out),
        Value::String(text) => write_text(text, out),
        Value::Bytes(bytes) => {
            out.push_str("{\"/\":{\"bytes\":\"");
            out.push_str(&Base64.encode(bytes));
            out.push_str("\"}}");
        }
        Value::List(items) => {
            let depth = deeper(depth)?;
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, depth, out)?;
            }
            out.push(']');
        }
        Value::Map(map) => write_map(map, deeper(depth)?, out)?,
        Value::Link(cid) => {
            out.push_str("{\"/\":\"");
            out.push_str(&cid.to_string());
            out.push_str("\"}");
        }
    }
    Ok(())
}

fn deeper(depth: usize) -> Result<usize, Reason> {
    if depth < DECODE_DEPTH_MAX { Ok(depth + 1) } else { Err(Reason::Depth) }
}

/// Keys in JSON are sorted by their bytes alone, unlike dag-cbor's.
fn write_map(map: &Map, depth: usize, out: &mut String) -> Result<(), Reason> {
    let mut entries: Vec<_> = map.entries().iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
    if let Some((key, value)) = entries.first()
        && key == RESERVED
        && looks_reserved(value)
    {
        return Err(Reason::ReservedKey);
    }
    out.push('{');
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_text(key, out);
        out.push(':');
        write(value, depth, out)?;
    }
    out.push('}');
    Ok(())
}

/// Whether a reader, finding this under a leading `"/"`, takes it for the start of a link or of bytes.
fn looks_reserved(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Map(map) => {
            let first = map.entries().iter().min_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
            matches!(first, Some((key, Value::String(_))) if key == BYTES)
        }
        _ => false,
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let code = u32::from(c);
                out.push_str(if code < 0x10 { "\\u000" } else { "\\u001" });
                out.push(char::from_digit(code % 0x10, 16).unwrap_or('0'));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The shortest digits that read back as `x`, laid out as ECMAScript does: plain from 1e-6 up to 1e21, else with an exponent.
fn write_float(x: f64, out: &mut String) {
    let scientific = format!("{x:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-6..21).contains(&exponent) {
        let start = out.len();
        out.push_str(&format!("{x}"));
        if !out.as_bytes().iter().skip(start).any(|&b| b == b'.') {
            out.push_str(".0");
        }
    } else {
        out.push_str(mantissa);
        out.push_str(if exponent < 0 { "e-" } else { "e+" });
        out.push_str(&exponent.unsigned_abs().to_string());
    }
}

/// The value of a canonical block, within the default [`Budget`].
///
/// # Errors
/// [`DagError::Malformed`]: not JSON, not canonical (at the first byte that differs), out of budget, or bytes after the value.
pub fn decode(block: &[u8]) -> Result<Value, DagError> {
    decode_with(block, &Budget::default())
}

/// [`decode`] within a budget of one's own.
pub fn decode_with(block: &[u8], budget: &Budget) -> Result<Value, DagError> {
    let value = decode_relaxed(block, budget)?;
    let canonical = encode(&value)?;
    if canonical == block {
        return Ok(value);
    }
    let offset = canonical.iter().zip(block).take_while(|(a, b)| a == b).count();
    Err(DagError::Malformed { codec: DAG_JSON, offset, reason: Reason::NotCanonical("other spacing, order, escapes or number forms") })
}

/// Reads JSON as people type it and as Kubo takes it: white space, keys in any order, any escapes, links in any base, padded
/// base64. Duplicate keys, lone surrogates, numbers out of range and anything after the value are errors.
pub fn decode_relaxed(block: &[u8], budget: &Budget) -> Result<Value, DagError> {
    let mut links = Vec::new();
    parse::<true>(block, budget, &mut links)
}

/// Appends the links of a block in the order they stand in it, without building values. Takes what [`decode_relaxed`] takes,
/// and does not look for duplicate keys.
pub fn links(block: &[u8], out: &mut Vec<Cid>) -> Result<(), DagError> {
    parse::<false>(block, &Budget::default(), out).map(drop)
}

fn parse<const BUILD: bool>(block: &[u8], budget: &Budget, links: &mut Vec<Cid>) -> Result<Value, DagError> {
    let mut input = Input { block: "", at: 0, items_left: budget.items_max };
    let mut whole = || {
        if block.len() > budget.bytes_max {
            return Err(Reason::Bytes);
        }
        input.block = std::str::from_utf8(block).map_err(|_| Reason::Utf8)?;
        let value = read::<BUILD>(&mut input, budget.depth_max.min(DECODE_DEPTH_MAX), links)?;
        input.skip_space();
        if input.at == block.len() { Ok(value) } else { Err(Reason::TrailingBytes) }
    };
    let value = whole();
    value.map_err(|reason| DagError::Malformed { codec: DAG_JSON, offset: input.at, reason })
}

/// Reads one value; `depth_left` bounds the recursion. Without `BUILD` only links are kept, and every value is null.
fn read<const BUILD: bool>(input: &mut Input<'_>, depth_left: usize, links: &mut Vec<Cid>) -> Result<Value, Reason> {
    input.item()?;
    input.skip_space();
    match input.peek() {
        Some(b'{') => read_map::<BUILD>(input, depth_left, links),
        Some(b'[') => {
            let depth_left = depth_left.checked_sub(1).ok_or(Reason::Depth)?;
            input.at += 1;
            let mut items = Vec::new();
            if input.closes(b']') {
                return Ok(Value::List(items));
            }
            loop {
                let item = read::<BUILD>(input, depth_left, links)?;
                if BUILD {
                    items.push(item);
                }
                if !input.continues(b']')? {
                    return Ok(Value::List(items));
                }
            }
        }
        Some(b'"') => {
            let text = input.text()?;
            Ok(if BUILD { Value::String(text.into_owned()) } else { Value::Null })
        }
        Some(b'-' | b'0'..=b'9') => input.number(),
        Some(b'n') => input.word("null", Value::Null),
        Some(b't') => input.word("true", Value::Bool(true)),
        Some(b'f') => input.word("false", Value::Bool(false)),
        Some(_) => Err(Reason::Syntax("expected a JSON value")),
        None => Err(Reason::Truncated),
    }
}

fn read_map<const BUILD: bool>(input: &mut Input<'_>, depth_left: usize, links: &mut Vec<Cid>) -> Result<Value, Reason> {
    // A link or bytes are values, not maps: they do not count as nesting.
    if let Some(value) = read_reserved::<BUILD>(input, links)? {
        return Ok(value);
    }
    let depth_left = depth_left.checked_sub(1).ok_or(Reason::Depth)?;
    input.at += 1;
    let mut entries = Vec::new();
    if input.closes(b'}') {
        return Ok(Value::Map(Map::default()));
    }
    loop {
        input.item()?;
        let key = input.key()?;
        let value = read::<BUILD>(input, depth_left, links)?;
        if BUILD {
            entries.push((key.into_owned(), value));
        }
        if !input.continues(b'}')? {
            break;
        }
    }
    Ok(Value::Map(Map::from_entries(entries).map_err(|_| Reason::DuplicateKey)?))
}

/// The link or bytes that begin at this `{`, or `None` for a plain map, with the cursor where it was.
///
/// A map whose first key is `"/"` and that holds a string there, or a map beginning with a string under `"bytes"`, must be
/// exactly a link or bytes: anything else would read differently in different implementations.
fn read_reserved<const BUILD: bool>(input: &mut Input<'_>, links: &mut Vec<Cid>) -> Result<Option<Value>, Reason> {
    let start = input.at;
    input.at += 1;
    if input.key_is(RESERVED)? {
        input.skip_space();
        match input.peek() {
            Some(b'"') => {
                let text_at = input.at;
                let text = input.text()?;
                let cid = text.parse::<Cid>();
                input.close_reserved()?;
                let cid = cid.map_err(|e| {
                    input.at = text_at;
                    Reason::Cid(e)
                })?;
                return Ok(Some(if BUILD {
                    Value::Link(cid)
                } else {
                    links.push(cid);
                    Value::Null
                }));
            }
            Some(b'{') => {
                input.at += 1;
                if input.key_is(BYTES)? {
                    input.skip_space();
                    if input.peek() == Some(b'"') {
                        let text_at = input.at;
                        let text = input.text()?;
                        input.close_reserved()?;
                        input.close_reserved()?;
                        let bytes = Base64.decode(text.trim_end_matches('=')).map_err(|_| {
                            input.at = text_at;
                            Reason::Syntax("bytes are not in base64")
                        })?;
                        return Ok(Some(Value::Bytes(bytes)));
                    }
                }
            }
            _ => {}
        }
    }
    input.at = start;
    Ok(None)
}

/// A cursor over the text. `at` stands on a character boundary, at or just behind what an error is about.
struct Input<'a> {
    block: &'a str,
    at: usize,
    items_left: usize,
}

impl<'a> Input<'a> {
    fn peek(&self) -> Option<u8> {
        self.block.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.block.get(self.at..).unwrap_or_default()
    }

    fn item(&mut self) -> Result<(), Reason> {
        self.items_left = self.items_left.checked_sub(1).ok_or(Reason::Items)?;
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Takes `byte` after white space, or fails.
    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Reason> {
        self.skip_space();
        match self.peek() {
            Some(found) if found == byte => self.at += 1,
            Some(_) => return Err(Reason::Syntax(what)),
            None => return Err(Reason::Truncated),
        }
        Ok(())
    }

    /// Whether the bracket closes here; takes it if so.
    fn closes(&mut self, bracket: u8) -> bool {
        self.skip_space();
        let closes = self.peek() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// After an item: true behind a comma, false behind the closing bracket.
    fn continues(&mut self, bracket: u8) -> Result<bool, Reason> {
        if self.closes(bracket) {
            return Ok(false);
        }
        self.expect(b',', "expected a comma or the end of the list or map").map(|()| true)
    }

    fn close_reserved(&mut self) -> Result<(), Reason> {
        self.expect(b'}', "a map that begins with the key \"/\" must be a link or bytes, and nothing more")
    }

    fn key(&mut self) -> Result<Cow<'a, str>, Reason> {
        self.skip_space();
        if !matches!(self.peek(), Some(b'"') | None) {
            return Err(Reason::Syntax("expected a key in quotes"));
        }
        let key = self.text()?;
        self.expect(b':', "expected a colon after a key")?;
        Ok(key)
    }

    /// Whether the next key is this one; takes it and its colon if so, else the cursor stays.
    fn key_is(&mut self, wanted: &str) -> Result<bool, Reason> {
        let start = self.at;
        self.skip_space();
        if self.peek() == Some(b'"') && self.key()? == wanted {
            return Ok(true);
        }
        self.at = start;
        Ok(false)
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, Reason> {
        if !self.rest().starts_with(word) {
            return Err(if word.starts_with(self.rest()) { Reason::Truncated } else { Reason::Syntax("expected a JSON value") });
        }
        self.at += word.len();
        Ok(value)
    }

    fn digits(&mut self) -> Result<(), Reason> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        match self.peek() {
            _ if self.at > start => Ok(()),
            None => Err(Reason::Truncated),
            Some(_) => Err(Reason::Syntax("expected a digit")),
        }
    }

    fn number(&mut self) -> Result<Value, Reason> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let whole_at = self.at;
        self.digits()?;
        if leading_zero && self.at > whole_at + 1 {
            return Err(Reason::Syntax("a number begins with a needless zero"));
        }
        let mut is_float = false;
        if self.peek() == Some(b'.') {
            is_float = true;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            is_float = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.block.get(start..self.at).unwrap_or_default();
        if is_float {
            let x: f64 = text.parse().map_err(|_| Reason::Syntax("expected a number"))?;
            return if x.is_finite() { Ok(Value::Float(x)) } else { Err(Reason::NotFinite) };
        }
        match text.parse::<i128>() {
            Ok(n) if (INTEGER_MIN..=INTEGER_MAX).contains(&n) => Ok(Value::Integer(n)),
            _ => Err(Reason::IntegerRange),
        }
    }

    /// A string in quotes, borrowed where it has no escapes.
    fn text(&mut self) -> Result<Cow<'a, str>, Reason> {
        self.expect(b'"', "expected a string")?;
        let mut unescaped: Option<String> = None;
        loop {
            let rest = self.rest();
            let plain = rest.bytes().position(|b| b == b'"' || b == b'\\' || b < b' ').ok_or(Reason::Truncated);
            let plain = plain.and_then(|n| rest.get(..n).ok_or(Reason::Truncated))?;
            self.at += plain.len();
            if let Some(text) = &mut unescaped {
                text.push_str(plain);
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(unescaped.map_or(Cow::Borrowed(plain), Cow::Owned));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    unescaped.get_or_insert_with(|| plain.to_owned()).push(c);
                }
                _ => return Err(Reason::Syntax("control characters in strings must be escaped")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Reason> {
        let c = self.peek().ok_or(Reason::Truncated)?;
        let plain = match c {
            b'"' | b'\\' | b'/' => char::from(c),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(Reason::Syntax("unknown escape in a string")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// Four hex digits behind `\u`, or a surrogate pair.
    fn unicode(&mut self) -> Result<char, Reason> {
        const LONE: Reason = Reason::Syntax("half a surrogate pair in a string");
        let high = self.hex4()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or(LONE);
        }
        if !self.rest().starts_with("\\u") {
            return Err(LONE);
        }
        self.at += 2;
        let low = self.hex4()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(LONE);
        }
        char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)).ok_or(LONE)
    }

    fn hex4(&mut self) -> Result<u32, Reason> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().ok_or(Reason::Truncated)?;
            let digit = char::from(digit).to_digit(16).ok_or(Reason::Syntax("expected a hex digit"))?;
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}
