//! Request checks: the host names that the page accepts, and the origins that may change something.
//!
//! In a DNS rebinding attack, a foreign name resolves to this machine, and the browser treats the
//! foreign page as this one. So only addresses, `localhost` and names from the user are accepted.
//! A request that changes something must come from this page itself, or from a program.

use std::net::{IpAddr, SocketAddr};

use net::http::request::{Method, Request};
use roles::mdns::PAGE_LABEL;

use crate::args::OnOff;

/// Checks each request before anything is done for it.
#[derive(Clone, Debug)]
pub(crate) struct OriginGuard {
    /// Accepted host names from the user, in lower case.
    names: Vec<String>,
    /// Whether songs may be removed.
    deletes: bool,
    /// The page is on its own machine alone.
    near: bool,
    /// Multicast DNS announces the page.
    announced: bool,
}

/// The status and the text of a refusal.
pub(super) type Refusal = (u16, String);

impl OriginGuard {
    /// Accepts these names in addition to addresses and `localhost`. Whoever reaches the page at
    /// another address than a loopback one may remove songs only if `deletes`.
    pub(crate) fn new(names: &[String], address: SocketAddr, deletes: bool) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase());
        let near = address.ip().to_canonical().is_loopback();
        if !near {
            let also = if deletes {
                ", add and remove"
            } else {
                " and add"
            };
            log::warn!("web {address} asks for no password: whoever reaches it can listen{also}");
        }
        OriginGuard {
            names: names.collect(),
            deletes: deletes || near,
            near,
            announced: false,
        }
    }

    /// Where the page can be reached from other machines, also accepts the names under which multicast
    /// DNS announces it. Who could lie about them is on the link and can ask the page without.
    pub(crate) fn with_mdns(mut self, mdns: OnOff) -> Self {
        self.announced = mdns == OnOff::On && !self.near;
        self
    }

    pub(super) fn check(&self, request: &Request) -> Result<(), Refusal> {
        // Browsers always name a host, so a request without one comes from a program.
        let Some(host) = &request.host else {
            return Ok(());
        };
        if !self.knows(host) {
            let cure = "restart with --allow-host if this name is yours";
            return Err((421, format!("this page is not served as {host:?} ({cure})")));
        }
        let reads = matches!(request.method, Method::Get | Method::Head);
        if !reads && !is_own(request, host) {
            return Err((403, "only this page itself may change something".into()));
        }
        if request.method == Method::Delete && !self.deletes {
            return Err((403, NO_REMOVAL.into()));
        }
        Ok(())
    }

    /// Whether this page removes songs and takes them back.
    pub(super) fn may_remove(&self) -> bool {
        self.deletes
    }

    fn knows(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else {
            return false;
        };
        let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        let is_address = match bare {
            Some(bare) => bare.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6()),
            None => name.parse().is_ok_and(|ip: IpAddr| ip.is_ipv4()),
        };
        let announced = self.announced && is_announced(name);
        is_address
            || announced
            || name == "localhost"
            || self.names.iter().any(|known| known == name)
    }
}

/// Why a page that others can reach removes nothing.
pub(super) const NO_REMOVAL: &str = "this page can be reached from other machines, so it removes no songs: use \
     `dispotify rm`, or start it with --allow-delete";

/// Whether this is a name of the pages on a link: `dispotify.local`, or with a number where that is
/// another machine's.
fn is_announced(name: &str) -> bool {
    let number = name
        .strip_suffix(".local")
        .and_then(|label| label.strip_prefix(PAGE_LABEL));
    number.is_some_and(|number| {
        let digits = number.strip_prefix('-').unwrap_or_default();
        number.is_empty() || digits.parse().is_ok_and(|number: u8| number > 1)
    })
}

/// The host without its port; `None` if the port is not a number.
fn without_port(host: &str) -> Option<&str> {
    if host.ends_with(']') {
        return Some(host);
    }
    match host.rsplit_once(':') {
        None => Some(host),
        Some((name, port)) => port.parse::<u16>().is_ok().then_some(name),
    }
}

/// Whether the request comes from this page, or from no page at all.
fn is_own(request: &Request, host: &str) -> bool {
    // Browsers set `Sec-Fetch-Site`, and scripts cannot forge it. Older browsers send only
    // `Origin`.
    if let Some(site) = request.field("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = request.field("origin") else {
        return true;
    };
    let theirs = ["http://", "https://"].map(|scheme| origin.strip_prefix(scheme));
    theirs.contains(&Some(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(host: &str) -> bool {
        let here = SocketAddr::from(([127, 0, 0, 1], 8080));
        OriginGuard::new(&["Music.Example".to_owned()], here, false).knows(host)
    }

    #[test]
    fn addresses_and_given_names_are_heard() {
        let known = [
            "localhost",
            "localhost:8080",
            "127.0.0.1:1",
            "192.168.1.2",
            "[::1]",
            "[::1]:8080",
            "music.example",
            "music.example:80",
        ];
        for host in known {
            assert!(knows(host), "{host}");
        }
    }

    /// The names of multicast DNS are for a page that others can reach.
    #[test]
    fn announced_names_are_heard_where_they_are_announced() {
        let knows = |at: [u8; 4], mdns, host| {
            let guard = OriginGuard::new(&[], SocketAddr::from((at, 8080)), false);
            guard.with_mdns(mdns).knows(host)
        };
        let far = [192, 168, 1, 11];
        for host in [
            "dispotify.local:8080",
            "dispotify-2.local",
            "dispotify-99.local:1",
        ] {
            assert!(knows(far, OnOff::On, host), "{host}");
            assert!(!knows(far, OnOff::Off, host), "{host}");
            assert!(!knows([127, 0, 0, 1], OnOff::On, host), "{host}");
        }
        for host in [
            "dispotify-1.local",
            "dispotify-.local",
            "dispotify-x.local",
            "dispotify",
            "my-dispotify.local",
        ] {
            assert!(!knows(far, OnOff::On, host), "{host}");
        }
    }

    /// Each could be somebody's name for this machine.
    #[test]
    fn other_names_are_not_heard() {
        let others = [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost:x",
            "",
            ":80",
            "localhost:",
            "::1",
            "[127.0.0.1]",
            "[::1",
            "1",
            "0x7f.1",
            "127.1",
            "evil.example:127.0.0.1",
            "localhost:80:80",
            "music.example.",
            "user@localhost",
        ];
        for host in others {
            assert!(!knows(host), "{host}");
        }
    }
}
