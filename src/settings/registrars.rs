//! Who can create host names under a domain, by the public suffix list.

use psl::{List, Psl as _, Type};
use url::{Host, Url};

/// Top-level domains in which no names can be registered: RFC 6761, and ICANN's `internal`.
const UNREGISTRABLE: [&str; 3] = ["localhost", "test", "internal"];
/// Shared hosts that the public suffix list lacks: everybody who has an account gets a name there.
const SHARED: [&str; 12] = [
    "app.github.dev",
    "github.dev",
    "gitpod.io",
    "googleusercontent.com",
    "loca.lt",
    "loclx.io",
    "medium.com",
    "railway.app",
    "serveo.net",
    "tumblr.com",
    "wordpress.com",
    "amazonaws.com",
];
/// Domains whose names lead to any address (nip.io), or are answered by whoever is on the same network (mDNS).
const ANYBODYS: [&str; 3] = ["nip.io", "sslip.io", "local"];

/// Who can create host names under a domain.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Registrar {
    /// The domain's owner alone.
    Owner,
    /// Every customer of the domain's owner, according to the private part of the public suffix list.
    Customers,
    /// Anybody, by registering a domain.
    Anybody,
}

/// Who can create host names under this domain.
pub(super) fn registrar(domain: &str) -> Registrar {
    // A trailing dot does not change the name.
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let Ok(Host::Domain(domain)) = Host::parse(domain) else { return Registrar::Anybody };
    if domain.split('.').any(str::is_empty) {
        return Registrar::Anybody;
    }
    if UNREGISTRABLE.contains(&domain.as_str()) {
        return Registrar::Owner;
    }
    if is_under_any(&ANYBODYS, &domain) {
        return Registrar::Anybody;
    }
    if SHARED.contains(&domain.as_str()) {
        return Registrar::Customers;
    }
    // The list also has rules for the names under a domain (`*.kawasaki.jp`).
    let host = format!("x.{domain}");
    match List.suffix(host.as_bytes()) {
        Some(suffix) if suffix.as_bytes().len() < domain.len() => Registrar::Owner,
        Some(suffix) if suffix.typ() == Some(Type::Private) => Registrar::Customers,
        _ => Registrar::Anybody,
    }
}

fn is_under_any(parents: &[&str], domain: &str) -> bool {
    let is_under = |parent: &&str| {
        domain.strip_suffix(*parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    parents.iter().any(is_under)
}

/// What two host names have in common, for a cookie that both should receive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Common<'a> {
    /// A domain of one owner: a cookie can be set for it.
    Domain(&'a str),
    /// A domain under which others have names too, such as `vercel.app` or `co.uk`: browsers refuse a cookie for it, or
    /// send it to those others.
    Suffix(&'a str),
    /// At most a top-level domain.
    Nothing,
}

/// The domain that contains both hosts. Both are in lower case.
pub(crate) fn common<'a>(host: &'a str, other: &str) -> Common<'a> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let other = other.strip_suffix('.').unwrap_or(other);
    let is_label = |at: usize| at == 0 || host.as_bytes().get(at - 1) == Some(&b'.');
    let contains_other = |domain: &&str| {
        other.strip_suffix(*domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let mut domains = (0..host.len()).filter(|at| is_label(*at)).filter_map(|at| host.get(at..));
    let Some(domain) = domains.find(contains_other).filter(|domain| domain.contains('.')) else {
        return Common::Nothing;
    };
    match registrar(domain) {
        Registrar::Owner => Common::Domain(domain),
        // All names under `127.0.0.1.nip.io` or `printer.local` lead to one machine.
        Registrar::Anybody if is_under_any(&ANYBODYS, domain) && !ANYBODYS.contains(&domain) => {
            Common::Domain(domain)
        }
        Registrar::Customers | Registrar::Anybody => Common::Suffix(domain),
    }
}

/// The domain of a hosting service, such as `vercel.app`, of which this origin's host is a customer's name.
pub(crate) fn hosting_domain(origin: &str) -> Option<String> {
    let url = Url::parse(origin).ok()?;
    let (_, domain) = url.host_str()?.split_once('.')?;
    (registrar(domain) == Registrar::Customers).then(|| domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cookie_covers_two_hosts_that_share_a_public_suffix_only() {
        for suffix in [
            "co.uk",
            "com.au",
            "github.io",
            "vercel.app",
            "onrender.com",
            "fly.dev",
            "up.railway.app",
            "railway.app",
            "pages.dev",
            "workers.dev",
            "herokuapp.com",
            "azurewebsites.net",
            "netlify.app",
            "web.app",
            "nip.io",
            "github.dev",
        ] {
            let (host, other) = (format!("auth.{suffix}"), format!("api.{suffix}"));
            assert_eq!(common(&host, &other), Common::Suffix(suffix));
            let (host, other) = (format!("auth.my-app.{suffix}"), format!("api.my-app.{suffix}"));
            // `my-app.railway.app` is not a customer's name.
            if suffix != "railway.app" {
                assert_eq!(common(&host, &other), Common::Domain(&host["auth.".len()..]), "{suffix}");
            }
        }
    }

    #[test]
    fn every_name_under_a_domain_may_be_a_suffix() {
        assert_eq!(common("auth-1.a.run.app", "api-1.a.run.app"), Common::Suffix("a.run.app"));
        assert_eq!(common("auth.x.kawasaki.jp", "api.y.kawasaki.jp"), Common::Suffix("kawasaki.jp"));
    }

    #[test]
    fn hosts_of_one_owner_share_their_domain() {
        assert_eq!(common("auth.example.com", "api.example.com"), Common::Domain("example.com"));
        assert_eq!(common("auth.a.example.com", "api.a.example.com"), Common::Domain("a.example.com"));
        assert_eq!(common("auth.example.com", "example.com"), Common::Domain("example.com"));
        assert_eq!(common("auth.example.com", "api.example.com."), Common::Domain("example.com"));
        assert_eq!(common("auth.corp.local", "api.corp.local"), Common::Domain("corp.local"));
        assert_eq!(
            common("auth.127.0.0.1.nip.io", "api.127.0.0.1.nip.io"),
            Common::Domain("127.0.0.1.nip.io")
        );
        assert_eq!(common("auth.notexample.com", "api.example.com"), Common::Nothing);
        assert_eq!(common("auth.example.com", "api.example.org"), Common::Nothing);
        assert_eq!(common("10.0.0.1", "10.0.0.2"), Common::Nothing);
        assert_eq!(common("auth.test", "api.test"), Common::Nothing);
        assert_eq!(common("", "api.test"), Common::Nothing);
    }

    #[test]
    fn a_name_of_a_hosting_service_is_known() {
        let domain = |host| hosting_domain(&format!("https://{host}:8443"));
        assert_eq!(domain("my-auth.vercel.app").as_deref(), Some("vercel.app"));
        assert_eq!(domain("my-auth.up.railway.app").as_deref(), Some("up.railway.app"));
        for host in [
            "auth.example.com",
            "shop.co.uk",
            "auth.my-app.vercel.app",
            "example.com",
            "localhost",
            "10.0.0.1",
        ] {
            assert_eq!(domain(host), None, "{host}");
        }
    }
}
