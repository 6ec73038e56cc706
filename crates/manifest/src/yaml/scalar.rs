//! What a scalar's text means.

use std::borrow::Cow;

use super::{Kind, Node, Style, Tag};

/// A scalar's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Str(&'a str),
}

impl Scalar<'_> {
    /// For people: `number 1.1`, `boolean true`, `null`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => format!("boolean {value}"),
            Self::Int(value) => format!("number {value}"),
            Self::UInt(value) => format!("number {value}"),
            Self::Float(value) => format!("number {value}"),
            Self::Str(value) => format!("string {value:?}"),
        }
    }
}

/// Reads a scalar as go-yaml v2 does, which `kubectl`, Helm and Flux use: YAML 1.1 without sexagesimal numbers, and with
/// timestamps left as strings.
pub(crate) fn resolve<'t>(text: &'t str, style: Style, tag: &Tag) -> Result<Scalar<'t>, String> {
    let wanted = match tag {
        Tag::None if style == Style::Plain => return Ok(plain(text)),
        Tag::None | Tag::Str => return Ok(Scalar::Str(text)),
        Tag::Core(name) => name.as_str(),
        // go-yaml leaves the text of what it does not know as it is.
        Tag::Other(_) => return Ok(Scalar::Str(text)),
    };
    let value = plain(text);
    match (wanted, &value) {
        ("null", Scalar::Null)
        | ("bool", Scalar::Bool(_))
        | ("int", Scalar::Int(_) | Scalar::UInt(_))
        | ("float", Scalar::Float(_)) => Ok(value),
        #[allow(clippy::cast_precision_loss)]
        ("float", Scalar::Int(number)) => Ok(Scalar::Float(*number as f64)),
        ("timestamp", Scalar::Str(_)) => Ok(value),
        ("null" | "bool" | "int" | "float" | "timestamp", _) => {
            Err(format!("{text:?} is no {wanted}, as its tag !!{wanted} asks"))
        }
        _ => Err(format!("the tag !!{wanted} is not supported")),
    }
}

/// A mapping's key as JSON has it: `kubectl` writes a boolean or a number key as text. `None` for what cannot be one.
pub(crate) fn key_text<'n>(node: &'n Node<'_>) -> Option<Cow<'n, str>> {
    let Kind::Scalar(text, style) = &node.kind else { return None };
    match resolve(text, *style, &node.tag).ok()? {
        Scalar::Str(text) => Some(Cow::Borrowed(text)),
        Scalar::Bool(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
        Scalar::Int(value) => Some(Cow::Owned(value.to_string())),
        Scalar::UInt(value) => Some(Cow::Owned(value.to_string())),
        Scalar::Float(value) => Some(Cow::Owned(value.to_string())),
        Scalar::Null => None,
    }
}

/// Whether every reader takes a plain scalar of this text for a string: go-yaml, and both YAML 1.1 and YAML 1.2 (core
/// schema) by their own rules.
pub(crate) fn stays_a_string(text: &str) -> bool {
    matches!(plain(text), Scalar::Str(_))
        && !is_number_1_1(text)
        && !is_number_1_2(text)
        && !is_timestamp(text)
        && !matches!(text, "=" | "<<")
}

fn plain(text: &str) -> Scalar<'_> {
    // Nearly all scalars begin with a letter that begins no special value.
    match text.as_bytes().first() {
        None => return Scalar::Null,
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => {
            return word(text).unwrap_or(Scalar::Str(text));
        }
        Some(b'0'..=b'9' | b'+' | b'-') => {}
        Some(b'.') => {
            if let Some(value) = infinity(text) {
                return value;
            }
            // Only digits may follow, where Rust would take `.inf` and the like.
            return match text.parse::<f64>() {
                Ok(value) if is_number_1_2(text) && value.is_finite() => Scalar::Float(value),
                _ => Scalar::Str(text),
            };
        }
        Some(_) => return Scalar::Str(text),
    }
    if let Some(value) = infinity(text) {
        return value;
    }
    if is_timestamp(text) {
        return Scalar::Str(text);
    }
    let digits: Cow<'_, str> = if text.contains('_') { Cow::Owned(text.replace('_', "")) } else { Cow::Borrowed(text) };
    if let Some(value) = integer(&digits) {
        return value;
    }
    if is_number_1_2(&digits)
        && let Ok(value) = digits.parse::<f64>()
        && value.is_finite()
    {
        return Scalar::Float(value);
    }
    Scalar::Str(text)
}

fn word(text: &str) -> Option<Scalar<'static>> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        _ => return None,
    })
}

fn infinity(text: &str) -> Option<Scalar<'static>> {
    Some(match text {
        ".nan" | ".NaN" | ".NAN" => Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Scalar::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

/// Go's `ParseInt(text, 0, 64)`, then `ParseUint`: a sign, then decimal, `0x`, `0o` or `0` octal, `0b`.
fn integer(text: &str) -> Option<Scalar<'static>> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match body.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &body[2..]),
        [b'0', b'o' | b'O', ..] => (8, &body[2..]),
        [b'0', b'b' | b'B', ..] => (2, &body[2..]),
        [b'0', _, ..] => (8, &body[1..]),
        _ => (10, body),
    };
    // Rust's parser takes a sign of its own.
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { -magnitude } else { magnitude };
    match i64::try_from(value) {
        Ok(value) => Some(Scalar::Int(value)),
        // Only without a sign, as Go's ParseUint takes none.
        Err(_) if body.len() == text.len() => u64::try_from(value).ok().map(Scalar::UInt),
        Err(_) => None,
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// Splits off the longest beginning of characters that `allowed` takes.
fn span(text: &str, allowed: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !allowed(c)).unwrap_or(text.len()))
}

/// YAML 1.2, core schema: decimal, `0o` and `0x` integers, and floats.
fn is_number_1_2(text: &str) -> bool {
    let all = |digits: &str, allowed: fn(&char) -> bool| !digits.is_empty() && digits.chars().all(|c| allowed(&c));
    if let Some(octal) = text.strip_prefix("0o") {
        return all(octal, |c| matches!(c, '0'..='7'));
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return all(hex, char::is_ascii_hexdigit);
    }
    let body = unsigned(text);
    let (whole, rest) = span(body, |c| c.is_ascii_digit());
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => span(rest, |c| c.is_ascii_digit()),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return matches!(body, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    }
    match rest.strip_prefix(['e', 'E']) {
        Some(exponent) => all(unsigned(exponent), char::is_ascii_digit),
        None => rest.is_empty(),
    }
}

/// YAML 1.1 (the types at yaml.org/type): with underscores, binary, octal by a leading zero, and sexagesimal.
fn is_number_1_1(text: &str) -> bool {
    let body = unsigned(text);
    if let Some(binary) = body.strip_prefix("0b") {
        return !binary.is_empty() && binary.chars().all(|c| matches!(c, '0' | '1' | '_'));
    }
    if let Some(hex) = body.strip_prefix("0x") {
        return !hex.is_empty() && hex.chars().all(|c| c.is_ascii_hexdigit() || c == '_');
    }
    let (whole, rest) = span(body, |c| c.is_ascii_digit() || c == '_');
    let begins = whole.starts_with(|c: char| c.is_ascii_digit()) || (whole.is_empty() && rest.starts_with('.'));
    if !begins {
        return false;
    }
    if let Some(rest) = rest.strip_prefix('.') {
        let (fraction, rest) = span(rest, |c| c.is_ascii_digit() || c == '_');
        let exponent_ok = rest.is_empty()
            || rest.strip_prefix(['e', 'E']).is_some_and(|exponent| {
                let digits = unsigned(exponent);
                !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
            });
        return exponent_ok && !(whole.is_empty() && fraction.is_empty());
    }
    // Sexagesimal: groups of 0 to 59 after the first, the last with a fraction or not.
    let mut groups = rest.split(':');
    groups.next() == Some("")
        && groups.all(|group| {
            let digits = group.split('.').next().unwrap_or_default();
            matches!(digits.len(), 1 | 2)
                && digits.chars().all(|c| c.is_ascii_digit())
                && digits.parse::<u8>().is_ok_and(|n| n < 60)
        })
}

/// A date, or a date and a time.
fn is_timestamp(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let (Some(year), Some(month), Some(rest)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let (day, time) = span(rest, |c| c.is_ascii_digit());
    year.len() == 4
        && digits(year)
        && matches!(month.len(), 1 | 2)
        && digits(month)
        && matches!(day.len(), 1 | 2)
        && (time.is_empty() || (time.starts_with(['T', 't', ' ', '\t']) && time.contains(':')))
}
