use std::fmt;

const MAX_LENGTH: usize = 200;

/// The name of a branch that git would accept (`git check-ref-format --branch`), without `refs/heads/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BranchName(String);

impl BranchName {
    /// Checks a name by git's rules; the error says which rule it breaks.
    pub fn parse(name: &str) -> Result<Self, String> {
        match broken_rule(name) {
            Some(rule) => Err(format!("{name:?} is not a branch name: {rule}")),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The branch at the remote: `refs/heads/main`.
    pub fn remote_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }

    /// Where the clone keeps what was last fetched: `refs/remotes/origin/main`.
    pub fn tracking_ref(&self) -> String {
        format!("refs/remotes/origin/{}", self.0)
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn broken_rule(name: &str) -> Option<&'static str> {
    let forbidden = |c: char| c.is_ascii_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    if name.is_empty() {
        return Some("it is empty");
    }
    if name.len() > MAX_LENGTH {
        return Some("it is longer than 200 bytes");
    }
    if name.starts_with('-') {
        return Some("it must not begin with '-'");
    }
    if name == "HEAD" || name == "@" {
        return Some("HEAD and @ name no branch");
    }
    if name.starts_with("refs/") {
        return Some("give the name alone, without 'refs/heads/'");
    }
    if name.contains(forbidden) {
        return Some("spaces, control characters and any of ~ ^ : ? * [ \\ are not allowed");
    }
    if name.contains("..") || name.contains("@{") {
        return Some("'..' and '@{' are not allowed");
    }
    if name.starts_with('/') || name.ends_with('/') || name.contains("//") {
        return Some("'/' may only stand between two parts");
    }
    if name.ends_with('.') {
        return Some("it must not end with '.'");
    }
    if name.split('/').any(|part| part.starts_with('.') || part.ends_with(".lock")) {
        return Some("no part may begin with '.' or end with '.lock'");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for name in ["main", "master", "release/2020-12", "feature/a.b", "ünïcode", "x@y", "a-b_c"] {
            assert!(BranchName::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_git_would_refuse_or_misread_are_refused() {
        let hostile = [
            "",
            "-x",
            "--upload-pack=touch pwned",
            "a..b",
            "refs/heads/main",
            "HEAD",
            "@",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[b",
            "a\\b",
            "a b",
            "a\nb",
            "a\0b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "a@{1}",
            "a\u{7f}b",
        ];
        for name in hostile {
            assert!(BranchName::parse(name).is_err(), "{name:?}");
        }
        assert!(BranchName::parse(&"x".repeat(201)).is_err());
    }
}
