//! Where a registry may send us: token servers, redirects and the addresses behind names.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// Whether two URLs have the same scheme, host and port.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host() == b.host() && a.port_or_known_default() == b.port_or_known_default()
}

/// Whether `other` belongs to the same site as `host`: the host itself, the domain above it (`registry.gitlab.com` and
/// `gitlab.com`) or a host beside or below it (`registry-1.docker.io` and `auth.docker.io`).
///
/// There is no list of public suffixes here. Instead, a domain counts as somebody's own only if it has two labels, and
/// three where the second one looks like a country's registry (`co.uk`, `com.au`): too strict for a few, who can list
/// their token host, and never so wide as a top-level domain.
pub(crate) fn same_site(host: &Url, other: &Url) -> bool {
    match (host.host(), other.host()) {
        (Some(Host::Domain(a)), Some(Host::Domain(b))) => {
            a == b
                || a.split_once('.').is_some_and(|(_, parent)| {
                    is_own_domain(parent) && (b == parent || b.strip_suffix(parent).is_some_and(|l| l.ends_with('.')))
                })
        }
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

fn is_own_domain(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    match labels.as_slice() {
        [] | [_] => false,
        [second, top] => !(top.len() == 2 && second.len() <= 3),
        _ => true,
    }
}

/// Whether an address is one that anybody on the Internet may have: not loopback, private, link-local, shared or
/// otherwise special, where metadata services and internal systems live.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Mapped (::ffff:a.b.c.d) and translated (64:ff9b::a.b.c.d) addresses reach the IPv4 address within.
    let segments = address.segments();
    let [.., a, b, c, d] = address.octets();
    if address.to_ipv4_mapped().is_some() || segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    // Global unicast is 2000::/3.
    segments[0] & 0xe000 == 0x2000
}

/// Which addresses a registry may lead us to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// A registry on the Internet: public addresses.
    Public,
    /// A registry that is itself internal: its neighbours too, but no link-local address, where clouds have their
    /// metadata services.
    Internal,
}

impl Reach {
    /// Whether an address is within reach.
    pub(crate) fn covers(self, address: IpAddr) -> bool {
        let unmapped = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        match self {
            Self::Public => is_public(address),
            Self::Internal => match unmapped {
                IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_unspecified(),
                // fd00:ec2::254 is a metadata service too.
                IpAddr::V6(v6) => {
                    v6.segments()[0] & 0xffc0 != 0xfe80 && v6.segments()[..2] != [0xfd00, 0xec2] && !v6.is_unspecified()
                }
            },
        }
    }
}

/// The address that a URL names directly, if it does not name a host.
pub(crate) fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Whether a URL is this machine's own: no proxy is asked for it.
pub(crate) fn is_loopback(url: &Url) -> bool {
    literal_address(url).map_or(url.host_str() == Some("localhost"), |address| address.is_loopback())
}

/// Whether a host's name has an address that is not public, or is such an address. A name without any is public.
pub(crate) async fn is_internal(url: &Url) -> bool {
    match (literal_address(url), url.host_str()) {
        (Some(address), _) => !is_public(address),
        (None, Some(name)) => match tokio::net::lookup_host((name, 0)).await {
            Ok(mut found) => found.any(|address| !is_public(address.ip())),
            Err(_) => false,
        },
        (None, None) => false,
    }
}

/// Resolves names to addresses within reach only. It is asked at each connection, so a name that changes its address
/// after a check gains nothing.
pub(crate) struct Resolver {
    reach: Reach,
    /// Proxies of the environment: they are asked in place of the host, and may well be internal.
    proxies: BTreeSet<String>,
}

impl Resolver {
    pub(crate) fn new(reach: Reach) -> Self {
        let variables = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
        let proxies = variables
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .filter_map(|text| Url::parse(&text).or_else(|_| Url::parse(&format!("http://{text}"))).ok())
            .filter_map(|url| url.host_str().map(str::to_owned))
            .collect();
        Self { reach, proxies }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let trusted = self.proxies.contains(name.as_str());
        let reach = self.reach;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<_> = found.iter().copied().filter(|a| trusted || reach.covers(a.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(format!("{} has no address that this registry may send us to", name.as_str()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("https://registry-1.docker.io", "https://auth.docker.io/token", true)]
    #[case("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true)]
    #[case("https://ghcr.io", "https://ghcr.io/token", true)]
    #[case("https://quay.io", "https://evil.io/token", false)]
    #[case("https://reg.example.co.uk", "https://auth.example.co.uk", true)]
    #[case("https://example.co.uk", "https://evil.co.uk", false)]
    #[case("https://ghcr.io", "https://evilghcr.io", false)]
    #[case("https://reg.example.com", "https://evil-example.com", false)]
    #[case("https://10.0.0.1", "https://10.0.0.2", false)]
    #[case("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true)]
    #[case("http://127.0.0.1:5000", "http://localhost:5001/token", false)]
    fn a_site_is_a_host_and_its_neighbours(#[case] host: &str, #[case] other: &str, #[case] expected: bool) {
        assert_eq!(same_site(&Url::parse(host).unwrap(), &Url::parse(other).unwrap()), expected);
    }

    #[rstest]
    #[case("8.8.8.8", true)]
    #[case("127.0.0.1", false)]
    #[case("10.1.2.3", false)]
    #[case("172.16.0.1", false)]
    #[case("192.168.1.1", false)]
    #[case("169.254.169.254", false)]
    #[case("100.64.0.1", false)]
    #[case("0.0.0.0", false)]
    #[case("255.255.255.255", false)]
    #[case("2606:4700::1", true)]
    #[case("::1", false)]
    #[case("::", false)]
    #[case("fe80::1", false)]
    #[case("fd00:ec2::254", false)]
    #[case("::ffff:169.254.169.254", false)]
    #[case("64:ff9b::a9fe:a9fe", false)]
    fn special_addresses_are_not_public(#[case] address: IpAddr, #[case] expected: bool) {
        assert_eq!(is_public(address), expected);
    }

    #[rstest]
    #[case("10.1.2.3", true)]
    #[case("127.0.0.1", true)]
    #[case("8.8.8.8", true)]
    #[case("fd12::1", true)]
    #[case("169.254.169.254", false)]
    #[case("::ffff:169.254.169.254", false)]
    #[case("fe80::1", false)]
    #[case("fd00:ec2::254", false)]
    fn even_an_internal_registry_cannot_lead_to_metadata_services(#[case] address: IpAddr, #[case] expected: bool) {
        assert_eq!(Reach::Internal.covers(address), expected);
    }
}
