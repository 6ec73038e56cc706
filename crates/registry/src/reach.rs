//! Where we go when a registry sends us somewhere.

use crate::error::{RegistryError, quoted, shown};
use crate::host::Host;
use crate::operation::Operation;
use crate::site::{Reach, is_internal, literal_address, same_origin};
use reqwest::Client;
use url::Url;

impl Host {
    /// Where a redirect leads, if we follow it there.
    pub(crate) fn next_hop(&self, from: &Url, location: &str) -> Result<Url, RegistryError> {
        let refused = |to: String, reason: &str| RegistryError::Refused {
            url: shown(from),
            to,
            what: "the answer",
            reason: reason.to_owned(),
        };
        let next = from.join(location).map_err(|_| refused(quoted(location), "that is no URL"))?;
        if from.scheme() == "https" && next.scheme() == "http" {
            return Err(refused(shown(&next), "it leads from https to http"));
        }
        self.allowed_scheme(&next).map_err(|reason| refused(shown(&next), reason))?;
        Ok(next)
    }

    /// What no host may send us to, whatever it is for.
    pub(crate) fn allowed_scheme(&self, url: &Url) -> Result<(), &'static str> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user or password in it");
        }
        match url.scheme() {
            "https" => Ok(()),
            "http" if self.plain_http => Ok(()),
            "http" => Err("it is http, which is not allowed for this registry"),
            _ => Err("it is neither https nor http"),
        }
    }

    /// The connections for a URL: the host's own, or those that reach only what this registry may lead us to.
    pub(crate) async fn client_for(
        &self,
        operation: &Operation,
        from: &Url,
        url: &Url,
        what: &'static str,
    ) -> Result<&Client, RegistryError> {
        if same_origin(url, &self.origin) {
            return self.clients.own();
        }
        let internal = operation.bound(url, is_internal(&self.origin)).await?;
        let reach = if internal { Reach::Internal } else { Reach::Public };
        if literal_address(url).is_some_and(|address| !reach.covers(address)) {
            let reason = "it is an internal address, which this registry may not send us to".to_owned();
            return Err(RegistryError::Refused { url: shown(from), to: shown(url), what, reason });
        }
        self.clients.foreign(reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::causes;
    use rstest::rstest;
    use std::time::Duration;

    #[rstest]
    #[case::relative("reg.example", false, "/elsewhere?x=1", Ok("https://reg.example/elsewhere?x=1"))]
    #[case::another_host("reg.example", false, "https://cdn.example/x", Ok("https://cdn.example/x"))]
    #[case::downgrade("reg.example", false, "http://reg.example/x", Err("from https to http"))]
    #[case::downgrade_where_http_is_allowed("reg.example", true, "http://reg.example/x", Err("from https to http"))]
    #[case::user("reg.example", false, "https://u:p@cdn.example/x", Err("user or password"))]
    #[case::file("reg.example", false, "file:///etc/passwd", Err("neither https nor http"))]
    fn a_redirect_is_followed_only_where_it_may_lead(
        #[case] name: &str,
        #[case] plain_http: bool,
        #[case] location: &str,
        #[case] expected: Result<&str, &str>,
    ) {
        let from = Url::parse("https://reg.example/v2/a/manifests/x").unwrap();
        match (Host::for_tests(name, plain_http).next_hop(&from, location), expected) {
            (Ok(next), Ok(expected)) => assert_eq!(next.as_str(), expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[tokio::test]
    async fn a_public_registry_cannot_send_us_to_internal_addresses() {
        let host = Host::for_tests("192.0.43.8", false);
        let operation = Operation::new(Duration::from_secs(5));
        for inside in ["https://169.254.169.254/latest/meta-data", "https://127.0.0.1/", "https://[fd00:ec2::254]/"] {
            let url = Url::parse(inside).unwrap();
            let error = host.client_for(&operation, &host.origin, &url, "the answer").await.unwrap_err();
            assert!(error.to_string().contains("internal address"), "{error}");
        }
        let inside = Host::for_tests("10.0.0.1:5000", true);
        let neighbour = Url::parse("http://10.0.0.2/").unwrap();
        inside.client_for(&operation, &inside.origin, &neighbour, "the answer").await.unwrap();
        let metadata = Url::parse("http://169.254.169.254/").unwrap();
        inside.client_for(&operation, &inside.origin, &metadata, "the answer").await.unwrap_err();
        // A name that leads there is caught when it is resolved.
        let client = host.clients.foreign(Reach::Public).unwrap();
        let error = client.get("https://localhost/").send().await.unwrap_err();
        assert!(causes(&error).contains("no address that this registry may send us to"), "{}", causes(&error));
    }
}
