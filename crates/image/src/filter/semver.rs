//! `semver:`: a constraint on versions, read as Masterminds/semver 3.1.1 reads it, which Flux v1 used.
//!
//! ```text
//! constraint = segment { "||" segment }        one of the segments holds
//! segment    = term { [ "," ] term }           all of its terms hold; blanks are free around terms
//! term       = [ operator ] partial            operators: = != > < >= => <= =< ~ ~> ^
//! partial    = [ "v" ] n [ "." n ] [ "." n ] [ "-" prerelease ] [ "+" metadata ]     n is a number, or x, X, *
//! range      = partial " - " partial           the same as >= and <=
//! ```
//!
//! A prerelease satisfies a term only if the term has a prerelease of its own.

use crate::error::FilterError;
use crate::text::Quoted;

use super::version::Version;

/// A constraint: one of several lists of terms, all of which must hold.
#[derive(Debug, Clone)]
pub(super) struct Constraint {
    text: String,
    segments: Vec<Vec<Term>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// From where on the numbers of a term are left open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// Nowhere: `1.2.3`.
    Nothing,
    /// `1.2` or `1.2.x`.
    Patch,
    /// `1` or `1.x`.
    Minor,
    /// `x` or `*`.
    All,
}

#[derive(Debug, Clone)]
struct Term {
    operator: Operator,
    version: Version,
    open: Open,
}

/// Longer before shorter where one begins the other.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

/// What is wrong, and at which byte of the constraint.
type Fault = (String, usize);

impl Constraint {
    /// `body` is the end of `text`, after the prefix.
    pub(super) fn parse(text: &str, body: &str) -> Result<Self, FilterError> {
        match segments(body) {
            Ok(segments) => Ok(Self { text: body.to_owned(), segments }),
            Err((reason, at)) => Err(FilterError::Semver {
                text: Quoted::new(text),
                reason,
                column: text[..text.len() - body.len() + at.min(body.len())].chars().count() + 1,
            }),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn matches(&self, version: &Version) -> bool {
        self.segments.iter().any(|terms| terms.iter().all(|term| term.holds(version)))
    }
}

fn segments(body: &str) -> Result<Vec<Vec<Term>>, Fault> {
    let rewritten = Rewritten::new(body);
    let mut out = Vec::new();
    let mut start = 0;
    for segment in rewritten.text.split("||") {
        let terms = terms(segment).map_err(|(reason, at)| (reason, rewritten.origin(start + at)))?;
        out.push(terms);
        start += segment.len() + 2;
    }
    Ok(out)
}

/// The constraint with each range `a - b` written as `>= a, <= b`, blanks around it eaten.
struct Rewritten {
    text: String,
    /// For each replacement: where it begins and ends in `text`, and in the original.
    moved: Vec<(std::ops::Range<usize>, std::ops::Range<usize>)>,
}

impl Rewritten {
    fn new(body: &str) -> Self {
        let mut out = Self { text: String::new(), moved: Vec::new() };
        let (mut done, mut at) = (0, 0);
        while at < body.len() {
            match range_at(body, at) {
                Some((low, high, end)) => {
                    out.text.push_str(&body[done..at]);
                    let start = out.text.len();
                    out.text.push_str(&format!(">= {low}, <= {high}"));
                    out.moved.push((start..out.text.len(), at..end));
                    done = end;
                    at = end;
                }
                None => at += body[at..].chars().next().map_or(1, char::len_utf8),
            }
        }
        out.text.push_str(&body[done..]);
        out
    }

    /// Where in the original a place of the rewritten text comes from; for a replacement, its beginning.
    fn origin(&self, at: usize) -> usize {
        let mut shift = 0_isize;
        for (new, old) in &self.moved {
            if at < new.start {
                break;
            }
            if at < new.end {
                return old.start;
            }
            shift += old.len().cast_signed() - new.len().cast_signed();
        }
        at.saturating_add_signed(shift)
    }
}

/// A range that begins here: its ends, and where it is over.
fn range_at(body: &str, at: usize) -> Option<(&str, &str, usize)> {
    let start = skip_blanks(body, at);
    let low_end = partial_end(body, start)?;
    let dash = skip_blanks(body, low_end);
    if dash == low_end || !body[dash..].starts_with('-') {
        return None;
    }
    let high = skip_blanks(body, dash + 1);
    if high == dash + 1 {
        return None;
    }
    let high_end = partial_end(body, high)?;
    Some((&body[start..low_end], &body[high..high_end], skip_blanks(body, high_end)))
}

fn terms(segment: &str) -> Result<Vec<Term>, Fault> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        let start = skip_blanks(segment, at);
        if out.is_empty() && start == segment.len() {
            return Err(("a version is missing".to_owned(), start));
        }
        let (operator, length) = OPERATORS
            .iter()
            .find(|(text, _)| segment[start..].starts_with(text))
            .map_or((Operator::Equal, 0), |(text, operator)| (*operator, text.len()));
        let version = skip_blanks(segment, start + length);
        let Some(end) = partial_end(segment, version) else {
            let found = segment[version..].chars().next();
            let found = found.map_or("the end".to_owned(), |c| format!("{c:?}"));
            return Err((format!("expected a version such as 1.2.3 or 1.x, found {found}"), version));
        };
        out.push(Term::new(operator, &segment[version..end]).map_err(|reason| (reason, version))?);
        at = skip_blanks(segment, end);
        if at < segment.len() && segment[at..].starts_with(',') {
            at += 1;
        }
        if at == segment.len() {
            return Ok(out);
        }
    }
}

fn skip_blanks(text: &str, at: usize) -> usize {
    let blank = |c: &char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}');
    at + text[at..].chars().take_while(blank).count()
}

/// Where a partial version that begins here ends; `None` if none does.
fn partial_end(text: &str, at: usize) -> Option<usize> {
    let run =
        |at: usize, allowed: fn(u8) -> bool| at + text.as_bytes()[at..].iter().take_while(|b| allowed(**b)).count();
    let number = |b: u8| b.is_ascii_digit() || matches!(b, b'x' | b'X' | b'*' | b'|');
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let mut start = at;
    if text[at..].starts_with('v') {
        start += 1;
    }
    let mut end = run(start, number);
    if end == start {
        return None;
    }
    for _ in 0..2 {
        let next = if text[end..].starts_with('.') { run(end + 1, number) } else { end };
        if next > end + 1 {
            end = next;
        } else {
            break;
        }
    }
    for mark in ['-', '+'] {
        if !text[end..].starts_with(mark) {
            continue;
        }
        let mut last = run(end + 1, word);
        if last == end + 1 {
            continue;
        }
        while text[last..].starts_with('.') && run(last + 1, word) > last + 1 {
            last = run(last + 1, word);
        }
        end = last;
    }
    Some(end)
}

impl Term {
    fn new(operator: Operator, text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('v').unwrap_or(text);
        let core_end = bare.find(['-', '+']).unwrap_or(bare.len());
        let (core, extra) = bare.split_at(core_end);
        let pre = match extra.split_once('+') {
            Some((pre, _)) => pre,
            None => extra,
        };
        let is_open = |part: Option<&str>| matches!(part, None | Some("x" | "X" | "*"));
        let mut parts = core.split('.');
        let (major, minor, patch) = (parts.next(), parts.next(), parts.next());
        let (full, open) = if is_open(major) {
            ("0.0.0".to_owned(), Open::All)
        } else if is_open(minor) {
            (format!("{}.0.0{pre}", major.unwrap_or_default()), Open::Minor)
        } else if is_open(patch) {
            (format!("{}.{}.0{pre}", major.unwrap_or_default(), minor.unwrap_or_default()), Open::Patch)
        } else {
            (bare.to_owned(), Open::Nothing)
        };
        match Version::parse(&full) {
            Some(version) => Ok(Self { operator, version, open }),
            None => Err(format!("{text:?} is no version")),
        }
    }

    fn holds(&self, version: &Version) -> bool {
        let bound = &self.version;
        let [major, minor, patch] = version.numbers;
        let [bound_major, bound_minor, bound_patch] = bound.numbers;
        let is_exact_not_equal = self.operator == Operator::NotEqual && self.open == Open::Nothing;
        if version.is_prerelease() && !bound.is_prerelease() && !is_exact_not_equal {
            return false;
        }
        match self.operator {
            Operator::Equal if self.open == Open::Nothing => version == bound,
            Operator::Equal | Operator::Tilde => self.is_close(version),
            Operator::NotEqual => match self.open {
                Open::Nothing | Open::All => version != bound,
                Open::Minor => major != bound_major,
                Open::Patch => (major, minor) != (bound_major, bound_minor) || version.pre != bound.pre,
            },
            Operator::Greater => match self.open {
                Open::Nothing | Open::All => version > bound,
                Open::Minor => major > bound_major,
                Open::Patch => (major, minor) > (bound_major, bound_minor),
            },
            Operator::Less => version < bound,
            Operator::GreaterOrEqual => version >= bound,
            Operator::LessOrEqual => match self.open {
                Open::Nothing => version <= bound,
                Open::Minor => major <= bound_major,
                Open::Patch | Open::All => (major, minor) <= (bound_major, bound_minor),
            },
            Operator::Caret => {
                version >= bound
                    && if bound_major > 0 || self.open == Open::Minor {
                        major == bound_major
                    } else if bound_minor > 0 || self.open == Open::Patch {
                        (major, minor) == (0, bound_minor)
                    } else {
                        // The minor number is not looked at: `^0.0.3` takes 0.1.3, as it does there.
                        (major, patch) == (0, bound_patch)
                    }
            }
        }
    }

    /// `~`: from the bound on, as far as the last number that is given may grow.
    fn is_close(&self, version: &Version) -> bool {
        let [major, minor, _] = version.numbers;
        let [bound_major, bound_minor, _] = self.version.numbers;
        let from_nothing = self.version.numbers == [0; 3] && matches!(self.open, Open::Nothing | Open::All);
        *version >= self.version
            && (from_nothing || (major == bound_major && (minor == bound_minor || self.open == Open::Minor)))
    }
}
