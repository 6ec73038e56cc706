//! `Link` headers (RFC 8288), as registries use them for the next page.

use reqwest::header::{HeaderMap, LINK};

/// The target of the link with `rel="next"`, as it is written there.
pub(crate) fn next(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(next_in)
}

fn next_in(mut rest: &str) -> Option<&str> {
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        // The parameters go up to the comma that begins another link; a quoted comma is none.
        let end = end_of_parameters(after);
        if is_next(&after[..end]) {
            return Some(target);
        }
        rest = &after[end..];
    }
}

fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

/// Whether one of the relation types is `next`.
fn is_next(parameters: &str) -> bool {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("rel"))
        .is_some_and(|(_, value)| {
            value.trim().trim_matches('"').split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::relative(r#"</v2/a/b/tags/list?last=1.1&n=2>; rel="next""#, Some("/v2/a/b/tags/list?last=1.1&n=2"))]
    #[case::absolute(
        r#"<https://r.example/v2/a/tags/list?last=x>;rel=next"#,
        Some("https://r.example/v2/a/tags/list?last=x")
    )]
    #[case::second_of_two(r#"</first>; rel="prev first", </then>; rel="next""#, Some("/then"))]
    #[case::one_of_several_relations(r#"</a,b>; title="x, y"; rel="last NEXT""#, Some("/a,b"))]
    #[case::another_relation(r#"</a>; rel="nextish""#, None)]
    #[case::no_relation("</a>", None)]
    #[case::no_link("next", None)]
    #[case::not_closed("</a; rel=next", None)]
    #[case::empty("", None)]
    fn the_next_page_is_found(#[case] header: &str, #[case] expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, header.parse().unwrap());
        assert_eq!(next(&headers), expected);
    }

    proptest::proptest! {
        #[test]
        fn no_header_breaks_it(text in "[<>;,=\" a-z/é]{0,80}") {
            let _ = next_in(&text);
        }
    }
}
