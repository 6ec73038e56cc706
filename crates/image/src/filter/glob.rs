//! `glob:`: only `*` is special.

use crate::error::FilterError;
use crate::tag::Tag;
use crate::text::Quoted;

/// A pattern in which `*` stands for any run of characters, none included, and everything else for itself.
#[derive(Debug, Clone)]
pub(super) struct Glob(String);

impl Glob {
    pub(super) fn any() -> Self {
        Self("*".to_owned())
    }

    /// `body` is the end of `text`, after the prefix if there is one.
    pub(super) fn parse(text: &str, body: &str) -> Result<Self, FilterError> {
        let before = text[..text.len() - body.len()].chars().count();
        if let Some((at, bad)) = body.chars().enumerate().find(|(_, c)| *c != '*' && !Tag::may_hold(*c)) {
            // A colon makes it likely that a prefix was meant: `semvr:~1`.
            if bad == ':' && before == 0 {
                let prefix = body.chars().take(at + 1).collect();
                return Err(FilterError::UnknownPrefix { text: Quoted::new(text), prefix, column: 1 });
            }
            return Err(FilterError::Unmatchable {
                text: Quoted::new(text),
                reason: format!("no tag contains {bad:?}"),
                column: before + at + 1,
            });
        }
        if body.starts_with(['.', '-']) {
            return Err(FilterError::Unmatchable {
                text: Quoted::new(text),
                reason: format!("no tag begins with {:?}", &body[..1]),
                column: before + 1,
            });
        }
        let literal = body.chars().filter(|c| *c != '*').count();
        if literal > Tag::MAX_LENGTH {
            return Err(FilterError::Unmatchable {
                text: Quoted::new(text),
                reason: format!("no tag is longer than {} characters, this asks for {literal}", Tag::MAX_LENGTH),
                column: before + 1,
            });
        }
        Ok(Self(body.to_owned()))
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Each part between stars is taken at its first place after the one before; that suffices, because a star takes
    /// whatever is left.
    pub(super) fn matches(&self, subject: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return self.0 == subject;
        };
        let Some(mut subject) = subject.strip_prefix(first) else {
            return false;
        };
        let mut parts = rest.split('*');
        // `rest` has at least one part, which may be empty: the one after the last star.
        let Some(last) = parts.next_back() else {
            return true;
        };
        for part in parts {
            match subject.find(part) {
                Some(at) => subject = &subject[at + part.len()..],
                None => return false,
            }
        }
        subject.ends_with(last)
    }
}
