//! The story's lines. They are what the command is for, so they go to standard output.

use std::io::Write;

/// Writes lines to standard output. A closed one is no reason to leave servers behind.
pub(super) fn tell(lines: &str) {
    let _ = writeln!(std::io::stdout(), "{lines}");
}

/// Begins a part of the story.
pub(super) fn heading(text: &str) {
    tell(&format!("\n== {text}"));
}

/// A command, as one would type it.
pub(super) fn command(line: &str) {
    tell(&format!("  $ {line}"));
}

/// Somebody else's output, indented.
pub(super) fn output(text: &str) {
    for line in text.trim_end().lines() {
        tell(&format!("    {line}"));
    }
}
