//! Makes text from outside harmless for Slack.

/// Longest text of one part of a message, in characters; the whole must stay below Slack's 3000 with its frame.
const LONGEST: usize = 1500;

/// Text for `mrkdwn`, on one line: control and direction characters go, `&`, `<` and `>` are escaped (so that neither a
/// link nor a mention can be made), a plain `@here` is broken up, and the characters that format are left without a
/// partner only inside [`code`]. Too long a text ends in `…`.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (count, c) in one_line(text).chars().enumerate() {
        if count >= LONGEST {
            out.push('…');
            break;
        }
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // A word joiner is invisible and keeps `@here`, `@channel` and `@everyone` from being read as mentions.
            '@' => out.push_str("@\u{2060}"),
            // `*`, `_` and `~` format only in pairs around words; a look-alike costs nothing in an error's text.
            '*' => out.push('∗'),
            '`' => out.push('\''),
            c => out.push(c),
        }
    }
    out
}

/// The same within a code span, where nothing formats.
pub(crate) fn code(text: &str) -> String {
    format!("`{}`", plain(text))
}

/// Text for the fallback line, which Slack reads like `mrkdwn`.
pub(crate) fn one_line(text: &str) -> String {
    let cleaned: String = text.chars().map(|c| if is_unseen(c) { ' ' } else { c }).collect();
    cleaned.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Control characters, and those that change the direction of text or cannot be seen.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A tag for people: the commit in `main-<40 digits>` is cut to eight, as git does. Versions are never cut.
pub(crate) fn short_tag(tag: &str) -> &str {
    let digits = tag.bytes().rev().take_while(u8::is_ascii_hexdigit).count();
    if digits == 40 { &tag[..tag.len() - 32] } else { tag }
}

/// A span of time for people: `8 s`, `2 min 5 s`, `1 h 20 min`.
pub(crate) fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 if s % 60 == 0 => format!("{} min", s / 60),
        s @ 60..3600 => format!("{} min {} s", s / 60, s % 60),
        s => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::mention("<!here> & <@U123>", "&lt;!here&gt; &amp; &lt;@\u{2060}U123&gt;")]
    #[case::link("<https://evil.example|click>", "&lt;https://evil.example|click&gt;")]
    #[case::bare_mention("ping @channel", "ping @\u{2060}channel")]
    #[case::lines("a\r\nb\tc", "a b c")]
    #[case::terminal("\u{1b}[31mred", "[31mred")]
    #[case::direction("a\u{202e}b", "a b")]
    #[case::format("*bold* `code`", "∗bold∗ 'code'")]
    fn text_from_outside_is_harmless(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(plain(text), expected);
    }

    #[test]
    fn a_long_text_is_cut_before_it_is_escaped() {
        let cut = plain(&"<".repeat(5000));
        assert!(cut.ends_with("&lt;…"), "never within an escape");
        assert_eq!(cut.matches("&lt;").count(), LONGEST);
    }

    #[rstest]
    #[case("main-22115e0dbd4f22115e0dbd4f22115e0dbd4f22115e0d", "main-22115e0dbd4f22115e0dbd4f22115e0dbd4f22115e0d")]
    #[case("main-22115e0dbd4f7a22115e0dbd4f7a22115e0dbd4f", "main-22115e0d")]
    #[case("release-v1.58.0", "release-v1.58.0")]
    #[case("", "")]
    fn only_a_whole_commit_id_is_cut(#[case] tag: &str, #[case] expected: &str) {
        assert_eq!(short_tag(tag), expected);
    }

    #[rstest]
    #[case(-3, "0 s")]
    #[case(59, "59 s")]
    #[case(60, "1 min")]
    #[case(171, "2 min 51 s")]
    #[case(4800, "1 h 20 min")]
    fn spans_read_well(#[case] seconds: i64, #[case] expected: &str) {
        assert_eq!(span(seconds), expected);
    }
}
