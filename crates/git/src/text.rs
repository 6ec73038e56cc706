//! What others wrote, made fit for logs and errors: no control characters, no secrets, no endless text.

use base64::Engine as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// How much of a remote's text is passed on.
pub(crate) const MAX_TEXT: usize = 1024;

/// Secrets shorter than this are not searched for: they would blot out ordinary words.
const MIN_SECRET: usize = 4;

/// The secrets in use, in every spelling in which a program or a server might repeat them.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Vec<SecretString>);

impl Redactor {
    /// Adds a secret: itself and percent-encoded, and base64 of it.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() < MIN_SECRET {
            return;
        }
        let spellings = [
            secret.to_owned(),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
            base64::engine::general_purpose::STANDARD.encode(secret),
        ];
        self.0.extend(spellings.into_iter().map(SecretString::from));
    }

    fn redact(&self, text: String) -> String {
        self.0.iter().fold(text, |text, secret| {
            let secret = secret.expose_secret();
            if text.contains(secret) { text.replace(secret, "***") } else { text }
        })
    }

    /// Text of a program or a server for people: lines joined with `; `, at most [`MAX_TEXT`] bytes.
    pub(crate) fn clean<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> String {
        let mut joined = String::new();
        for line in lines {
            let line = without_controls(line);
            let line = line.trim();
            if !line.is_empty() {
                if !joined.is_empty() {
                    joined.push_str("; ");
                }
                joined.push_str(line);
            }
        }
        // Before the cut: half of a secret is a secret.
        shorten(without_userinfo(&self.redact(joined)))
    }
}

/// Drops ANSI sequences, control characters and the marks that change the direction of writing.
fn without_controls(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next_if(|c| !('\u{40}'..='\u{7e}').contains(c)).is_some() {}
                chars.next();
            }
            '\t' => out.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {}
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Takes `user:password@` out of every URL in a text.
fn without_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(|c: char| c == '/' || c.is_whitespace() || c == '\'' || c == '"').unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((userinfo, host)) if userinfo.contains(':') => out.push_str(host),
            _ => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn shorten(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let end = (0..=MAX_TEXT - 4).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_colours_are_dropped() {
        let cleaned = Redactor::default().clean(["\u{1b}[31mno\u{1b}[0m\u{7}", "", "  push\u{202e} here\r"]);
        assert_eq!(cleaned, "no; push here");
    }

    #[test]
    fn a_secret_is_not_repeated_in_any_spelling() {
        let mut redactor = Redactor::default();
        redactor.add("user:p@ss w0rd");
        redactor.add("p@ss w0rd");
        let said = "got p@ss w0rd and p%40ss%20w0rd and Basic dXNlcjpwQHNzIHcwcmQ=";
        assert_eq!(redactor.clean([said]), "got *** and *** and Basic ***");
    }

    #[test]
    fn userinfo_in_urls_is_dropped() {
        let cleaned = Redactor::default().clean(["fatal: 'https://me:hunter2@host/x' and ssh://git@host/y"]);
        assert_eq!(cleaned, "fatal: 'https://host/x' and ssh://git@host/y");
    }

    #[test]
    fn endless_text_is_cut_between_characters() {
        let cleaned = Redactor::default().clean(["ä".repeat(5_000).as_str()]);
        assert!(cleaned.len() <= MAX_TEXT && cleaned.ends_with('…'), "{}", cleaned.len());
    }
}
