//! What a push's output says became of it.

use crate::program::Output;
use crate::remote::is_denial;

/// What the program itself says; the branch has the last word wherever this is not certain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The remote reported the ref as updated.
    Landed,
    /// The remote reported that it will not have the commit, with the reason in brackets.
    Rejected(String),
    /// Access was refused before anything was sent.
    Denied,
    /// The lease failed, the connection broke, or the output says nothing: ask the branch.
    Unknown,
}

/// Reads the output of `git push --porcelain`.
pub(crate) fn verdict(output: &Output, remote_ref: &str) -> Verdict {
    let line = output.stdout.lines().find_map(|line| RefLine::parse(line, remote_ref));
    match line {
        Some(line) if line.flag != '!' && output.status.success() => Verdict::Landed,
        Some(line) if line.flag == '!' && line.summary.starts_with("[remote rejected]") && !is_race(line.summary) => {
            let reason = line.summary.trim_start_matches("[remote rejected]").trim().trim_matches(['(', ')']);
            Verdict::Rejected(reason.to_owned())
        }
        None if is_denial(&output.stderr) => Verdict::Denied,
        _ => Verdict::Unknown,
    }
}

/// Somebody else's push was being stored at the same moment: the remote's own compare-and-swap failed.
fn is_race(summary: &str) -> bool {
    const WORDS: [&str; 5] = [
        "failed to update ref",
        "cannot lock ref",
        "failed to lock",
        "incorrect old value",
        "reference already exists",
    ];
    WORDS.iter().any(|word| summary.contains(word))
}

/// `<flag> TAB <from>:<to> TAB <summary>`, one for each ref.
struct RefLine<'o> {
    flag: char,
    summary: &'o str,
}

impl<'o> RefLine<'o> {
    fn parse(line: &'o str, remote_ref: &str) -> Option<Self> {
        let mut fields = line.splitn(3, '\t');
        let (flag, refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
        let mut flag = flag.chars();
        let (flag, None) = (flag.next()?, flag.next()) else { return None };
        refs.ends_with(&format!(":{remote_ref}")).then_some(Self { flag, summary })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn judge(code: i32, stdout: &str, stderr: &str) -> Verdict {
        let status = ExitStatus::from_raw(code << 8);
        verdict(&Output { status, stdout: stdout.into(), stderr: stderr.into() }, "refs/heads/main")
    }

    #[test]
    fn the_program_is_believed_only_where_it_is_certain() {
        let line =
            |flag: &str, summary: &str| format!("To https://host/x\n{flag}\tabc:refs/heads/main\t{summary}\nDone\n");
        assert_eq!(judge(0, &line(" ", "a..b"), ""), Verdict::Landed);
        assert_eq!(judge(0, &line("=", "[up to date]"), ""), Verdict::Landed);
        assert_eq!(judge(1, &line(" ", "a..b"), ""), Verdict::Unknown);
        assert_eq!(judge(1, &line("!", "[rejected] (stale info)"), ""), Verdict::Unknown);
        assert_eq!(judge(1, &line("!", "[rejected] (fetch first)"), ""), Verdict::Unknown);
        assert_eq!(
            judge(1, &line("!", "[remote rejected] (pre-receive hook declined)"), ""),
            Verdict::Rejected("pre-receive hook declined".into())
        );
        assert_eq!(judge(1, &line("!", "[remote rejected] (failed to update ref)"), ""), Verdict::Unknown);
        assert_eq!(judge(1, &line("!", "[remote failure] (remote failed to report status)"), ""), Verdict::Unknown);
        assert_eq!(judge(128, "", "fatal: unable to access: The requested URL returned error: 403"), Verdict::Denied);
        assert_eq!(judge(128, "", "fatal: the remote end hung up unexpectedly"), Verdict::Unknown);
        assert_eq!(judge(0, " \tabc:refs/heads/other\ta..b\n", ""), Verdict::Unknown);
    }
}
