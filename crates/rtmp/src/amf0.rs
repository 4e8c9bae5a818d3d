//! AMF0 (Action Message Format 0, Adobe, 2007): the values inside commands and metadata.
//!
//! Decoding never trusts a count: a container grows one decoded value at a time,
//! and the depth, the number of values and the length of a message have caps.

use thiserror::Error;

use crate::limits::{MAX_AMF0, MAX_AMF0_DEPTH, MAX_AMF0_VALUES};

/// One AMF0 value. Types that RTMP peers do not use in practice (movie clip, record
/// set, reference) decode to [`Value::Undefined`] or are refused.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    /// A double.
    Number(f64),
    /// A truth value.
    Boolean(bool),
    /// A string, long string or XML document. Bytes that are not UTF-8 have become U+FFFD.
    String(String),
    /// An object, typed or not, in the peer's order.
    Object(Vec<(String, Value)>),
    /// An associative array, in the peer's order.
    EcmaArray(Vec<(String, Value)>),
    /// An array.
    StrictArray(Vec<Value>),
    /// Milliseconds since 1970, UTC.
    Date(f64),
    /// Null.
    Null,
    /// Undefined.
    Undefined,
}

/// Why bytes are not AMF0 that we accept. The peer is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Amf0Error {
    /// The message is longer than [`MAX_AMF0`].
    #[error("AMF0 message is too long")]
    TooLong,
    /// A value runs past the end.
    #[error("AMF0 value is cut off")]
    Truncated,
    /// Deeper than [`MAX_AMF0_DEPTH`].
    #[error("AMF0 values are nested too deeply")]
    TooDeep,
    /// More than [`MAX_AMF0_VALUES`].
    #[error("AMF0 message has too many values")]
    TooMany,
    /// A type marker that AMF0 lacks, or that we refuse.
    #[error("AMF0 marker {0:#04x} is not supported")]
    Marker(u8),
}

impl Value {
    /// The string, if it is one.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub(crate) fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(b) => Some(*b),
            _ => None,
        }
    }

    /// The property `name` of an object or associative array; the first wins.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(props) | Self::EcmaArray(props) => {
                props.iter().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }
}

/// Says the type only: connect objects and stream names carry credentials, which
/// must not reach a log.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Number(_) => "Number",
            Self::Boolean(_) => "Boolean",
            Self::String(_) => "String",
            Self::Object(_) => "Object",
            Self::EcmaArray(_) => "EcmaArray",
            Self::StrictArray(_) => "StrictArray",
            Self::Date(_) => "Date",
            Self::Null => "Null",
            Self::Undefined => "Undefined",
        })
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::String(s.to_owned())
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Number(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Boolean(b)
    }
}

/// An object of these properties.
pub(crate) fn object<const N: usize>(props: [(&str, Value); N]) -> Value {
    Value::Object(props.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Decodes all values of one message.
///
/// # Errors
/// [`Amf0Error`], when the bytes break the format or a cap.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Value>, Amf0Error> {
    if bytes.len() > MAX_AMF0 {
        return Err(Amf0Error::TooLong);
    }
    let mut reader = Reader { rest: bytes, values: 0 };
    let mut values = Vec::new();
    while !reader.rest.is_empty() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

struct Reader<'a> {
    rest: &'a [u8],
    values: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        if depth >= MAX_AMF0_DEPTH {
            return Err(Amf0Error::TooDeep);
        }
        self.values += 1;
        if self.values > MAX_AMF0_VALUES {
            return Err(Amf0Error::TooMany);
        }
        match self.u8()? {
            0x00 => Ok(Value::Number(self.f64()?)),
            0x01 => Ok(Value::Boolean(self.u8()? != 0)),
            0x02 => Ok(Value::String(self.short_string()?)),
            0x03 => Ok(Value::Object(self.properties(depth)?)),
            0x05 => Ok(Value::Null),
            // Undefined and unsupported.
            0x06 | 0x0d => Ok(Value::Undefined),
            0x07 => self.take(2).map(|_| Value::Undefined),
            0x08 => self.ecma_array(depth),
            0x0a => self.strict_array(depth),
            0x0b => self.date(),
            0x0c | 0x0f => Ok(Value::String(self.long_string()?)),
            0x10 => self.typed_object(depth),
            marker => Err(Amf0Error::Marker(marker)),
        }
    }

    /// The count is a hint that some peers get wrong; the end marker rules.
    fn ecma_array(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        self.u32()?;
        Ok(Value::EcmaArray(self.properties(depth)?))
    }

    fn strict_array(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        let count = self.u32()?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(Value::StrictArray(values))
    }

    fn date(&mut self) -> Result<Value, Amf0Error> {
        let ms = self.f64()?;
        self.take(2)?;
        Ok(Value::Date(ms))
    }

    fn typed_object(&mut self, depth: usize) -> Result<Value, Amf0Error> {
        self.short_string()?;
        Ok(Value::Object(self.properties(depth)?))
    }

    /// Properties up to the end marker, or up to the end of the message: some
    /// encoders leave the marker out of their metadata.
    fn properties(&mut self, depth: usize) -> Result<Vec<(String, Value)>, Amf0Error> {
        let mut props = Vec::new();
        while !self.rest.is_empty() {
            let key = self.short_string()?;
            if key.is_empty() && self.rest.first() == Some(&0x09) {
                self.take(1)?;
                break;
            }
            props.push((key, self.value(depth + 1)?));
        }
        Ok(props)
    }

    fn short_string(&mut self) -> Result<String, Amf0Error> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        self.string(len)
    }

    fn long_string(&mut self) -> Result<String, Amf0Error> {
        let len = self.u32()? as usize;
        self.string(len)
    }

    fn string(&mut self, len: usize) -> Result<String, Amf0Error> {
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    fn u8(&mut self) -> Result<u8, Amf0Error> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Amf0Error> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn f64(&mut self) -> Result<f64, Amf0Error> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Amf0Error> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Amf0Error::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Amf0Error> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Amf0Error::Truncated)?;
        self.rest = rest;
        Ok(head)
    }
}

/// Encodes values one after another.
pub(crate) fn encode(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    values.iter().for_each(|value| write(&mut out, value));
    out
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(n) => {
            out.push(0x00);
            out.extend_from_slice(&n.to_be_bytes());
        }
        Value::Boolean(b) => out.extend_from_slice(&[0x01, u8::from(*b)]),
        Value::String(s) => write_string(out, s),
        Value::Object(props) => {
            out.push(0x03);
            write_properties(out, props);
        }
        Value::EcmaArray(props) => {
            out.push(0x08);
            out.extend_from_slice(&(props.len() as u32).to_be_bytes());
            write_properties(out, props);
        }
        Value::StrictArray(values) => {
            out.push(0x0a);
            out.extend_from_slice(&(values.len() as u32).to_be_bytes());
            values.iter().for_each(|value| write(out, value));
        }
        Value::Date(ms) => {
            out.push(0x0b);
            out.extend_from_slice(&ms.to_be_bytes());
            out.extend_from_slice(&[0, 0]);
        }
        Value::Null => out.push(0x05),
        Value::Undefined => out.push(0x06),
    }
}

fn write_string(out: &mut Vec<u8>, s: &str) {
    if let Ok(len) = u16::try_from(s.len()) {
        out.push(0x02);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(0x0c);
        out.extend_from_slice(&(s.len() as u32).to_be_bytes());
    }
    out.extend_from_slice(s.as_bytes());
}

fn write_properties(out: &mut Vec<u8>, props: &[(String, Value)]) {
    for (key, value) in props {
        // A key has no long form; one that does not fit is left out whole.
        let Ok(len) = u16::try_from(key.len()) else { continue };
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(key.as_bytes());
        write(out, value);
    }
    out.extend_from_slice(&[0, 0, 0x09]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<f64>().prop_filter("NaN differs from itself", |n| !n.is_nan()).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,20}".prop_map(Value::String),
            Just(Value::Null),
            Just(Value::Undefined),
            any::<i32>().prop_map(|ms| Value::Date(f64::from(ms))),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let props = prop::collection::vec(("[a-z]{1,8}", inner.clone()), 0..5);
            prop_oneof![
                props.clone().prop_map(Value::Object),
                props.prop_map(Value::EcmaArray),
                prop::collection::vec(inner, 0..5).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(values in prop::collection::vec(any_value(), 0..6)) {
            prop_assert_eq!(decode(&encode(&values)).unwrap(), values);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn an_array_that_claims_four_billion_values_costs_nothing() {
        assert_eq!(decode(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x05]), Err(Amf0Error::Truncated));
        assert_eq!(decode(&[0x0c, 0xff, 0xff, 0xff, 0xff, b'a']), Err(Amf0Error::Truncated));
    }

    #[test]
    fn depth_sixteen_passes_and_seventeen_does_not() {
        let nested = |depth: usize| [[0x0a, 0, 0, 0, 1].repeat(depth - 1), vec![0x05]].concat();
        assert!(decode(&nested(16)).is_ok());
        assert_eq!(decode(&nested(17)), Err(Amf0Error::TooDeep));
    }

    #[test]
    fn a_message_of_too_many_values_is_refused() {
        assert!(decode(&[0x05; 4096]).is_ok());
        assert_eq!(decode(&[0x05; 4097]), Err(Amf0Error::TooMany));
        assert_eq!(decode(&vec![0x05; MAX_AMF0 + 1]), Err(Amf0Error::TooLong));
    }

    #[test]
    fn metadata_without_its_end_marker_is_read() {
        let bytes = [&[0x08, 0, 0, 0, 9, 0, 5][..], b"width", &[0x00], &640f64.to_be_bytes()].concat();
        let values = decode(&bytes).unwrap();
        assert_eq!(values[0].get("width").and_then(Value::as_number), Some(640.0));
    }

    #[test]
    fn a_value_never_shows_its_text() {
        let text = format!("{:?}", object([("app", "live/s3cret".into())]));
        assert!(!text.contains("s3cret"), "{text}");
    }
}
