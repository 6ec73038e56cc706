//! The registry's access log: lines in Apache's combined format among its other lines.

use std::path::Path;

use crate::http::Request;
use crate::{Error, Result};

pub(super) fn read(log: &Path) -> Result<Vec<Request>> {
    let bytes = std::fs::read(log).map_err(Error::io(format!("reading {}", log.display())))?;
    Ok(String::from_utf8_lossy(&bytes).lines().filter_map(parse).filter(|request| request.uri != "/").collect())
}

/// `127.0.0.1 - user [22/Nov/2026:16:00:00 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "agent"`
fn parse(line: &str) -> Option<Request> {
    let (_, rest) = line.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let mut words = request.split(' ');
    let (method, uri, protocol) = (words.next()?, words.next()?, words.next()?);
    if !protocol.starts_with("HTTP/") {
        return None;
    }
    let status = rest.split(' ').next()?.parse().ok()?;
    Some(Request { method: method.to_owned(), uri: uri.to_owned(), status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_line_is_a_request_and_other_lines_are_none() {
        let line =
            r#"127.0.0.1 - - [22/Nov/2026:16:00:00 +0000] "GET /v2/a/tags/list?n=2 HTTP/1.1" 200 31 "" "x/1 (y)""#;
        let request = Request { method: "GET".into(), uri: "/v2/a/tags/list?n=2".into(), status: 200 };
        assert_eq!(parse(line), Some(request));
        assert_eq!(parse(r#"time="2026-11-22" level=info msg="listening on 127.0.0.1:1""#), None);
    }
}
