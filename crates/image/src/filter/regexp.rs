//! `regexp:` and `regex:`: an unanchored regular expression, compiled within limits.

use regex::{Regex, RegexBuilder};

use crate::error::FilterError;
use crate::text::Quoted;

/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;
/// Largest count of a repetition, as in Go's RE2, for which the filters in use were written.
const MAX_REPEAT: u64 = 1000;
/// Largest compiled program and largest lazy automaton, in bytes.
const MAX_COMPILED: usize = 1 << 20;

/// A regular expression. Matching takes linear time; compiling is bounded by the limits above.
#[derive(Debug, Clone)]
pub(super) struct Regexp(Regex);

impl Regexp {
    /// `body` is the end of `text`, after the prefix.
    pub(super) fn parse(text: &str, body: &str) -> Result<Self, FilterError> {
        let before = text[..text.len() - body.len()].chars().count();
        let bad = |reason: String, at: usize| FilterError::Regexp {
            text: Quoted::new(text),
            reason,
            column: before + at + 1,
        };
        if body.len() > MAX_PATTERN {
            return Err(bad(format!("it has {} bytes, at most {MAX_PATTERN} are allowed", body.len()), 0));
        }
        // Nothing is trimmed: a blank at either end would have to be in the tag.
        if let Some(blank) = body.chars().next().filter(|c| c.is_whitespace()) {
            return Err(unmatchable(text, blank, before + 1));
        }
        if let Some(blank) = body.chars().next_back().filter(|c| c.is_whitespace()) {
            return Err(unmatchable(text, blank, before + body.chars().count()));
        }
        if let Some((at, count)) = large_repeat(body) {
            return Err(bad(format!("it repeats {count} times, at most {MAX_REPEAT} are allowed"), at));
        }
        match RegexBuilder::new(body).size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED).build() {
            Ok(regex) => Ok(Self(regex)),
            Err(regex::Error::CompiledTooBig(limit)) => {
                Err(bad(format!("it compiles to more than {limit} bytes, which is the limit"), 0))
            }
            Err(error) => {
                let (reason, at) = explain(&error.to_string());
                Err(bad(reason, at))
            }
        }
    }

    pub(super) fn text(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn matches(&self, subject: &str) -> bool {
        self.0.is_match(subject)
    }
}

/// The first `{n}`, `{n,}` or `{n,m}` with too large a count: its place in characters, and the count. Escapes and
/// classes are passed over.
fn large_repeat(pattern: &str) -> Option<(usize, u64)> {
    let mut chars = pattern.chars().enumerate();
    let mut in_class = false;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '{' if !in_class => {
                let counts: String =
                    chars.clone().map(|(_, c)| c).take_while(|c| c.is_ascii_digit() || *c == ',').collect();
                // What does not fit into a number is too large as well.
                let largest = counts.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap_or(u64::MAX)).max();
                if let Some(count) = largest.filter(|count| *count > MAX_REPEAT) {
                    return Some((at, count));
                }
            }
            _ => {}
        }
    }
    None
}

fn unmatchable(text: &str, blank: char, column: usize) -> FilterError {
    FilterError::Unmatchable { text: Quoted::new(text), reason: format!("no tag contains {blank:?}"), column }
}

/// Takes the reason and the caret's place out of the multi-line message that `regex` gives for a syntax error. Where
/// the message has another form, it is used whole, on one line.
fn explain(message: &str) -> (String, usize) {
    const INDENT: usize = 4;
    let reason = message.lines().find_map(|line| line.strip_prefix("error: "));
    let caret = message.lines().find(|line| !line.trim().is_empty() && line.trim_matches([' ', '^']).is_empty());
    match reason {
        Some(reason) => {
            (reason.to_owned(), caret.and_then(|line| line.find('^')).map_or(0, |at| at.saturating_sub(INDENT)))
        }
        None => (message.split_whitespace().collect::<Vec<_>>().join(" "), 0),
    }
}
