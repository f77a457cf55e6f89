//! The hosts that an operator typed or allowed: where requests may go although their addresses are not public. Pure.

use reqwest::Url;

/// Hosts that may be asked wherever they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    /// Lower-case host and port; without a port, any.
    entries: Vec<(String, Option<u16>)>,
}

impl AllowedHosts {
    /// None.
    pub fn none() -> Self {
        AllowedHosts::default()
    }

    /// Adds the host and port of a URL that the operator typed. Other ports of that host stay closed.
    #[must_use]
    pub fn typed(mut self, url: &Url) -> Self {
        if let Some(host) = url.host_str() {
            self.entries.push((host.to_ascii_lowercase(), url.port_or_known_default()));
        }
        self
    }

    /// Adds entries of the operator's allow-list: `git.acme.dev` (any port) or `git.acme.dev:8443`.
    #[must_use]
    pub fn listed<'a>(mut self, entries: impl IntoIterator<Item = &'a str>) -> Self {
        for entry in entries {
            let entry = entry.to_ascii_lowercase();
            let parsed = match entry.rsplit_once(':') {
                // A bare IPv6 address has more colons and no brackets.
                Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                    port.parse().ok().map(|port| (host.to_owned(), Some(port)))
                }
                Some(_) if !entry.starts_with('[') => Some((format!("[{entry}]"), None)),
                _ => None,
            };
            self.entries.push(parsed.unwrap_or((entry, None)));
        }
        self
    }

    /// Whether the operator typed or allowed the host of this URL.
    pub fn allows(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let port = url.port_or_known_default();
        self.entries
            .iter()
            .any(|(allowed, at)| allowed.eq_ignore_ascii_case(host) && at.is_none_or(|at| Some(at) == port))
    }
}

#[cfg(test)]
mod tests {
    use super::AllowedHosts;

    #[test]
    fn a_typed_host_is_open_at_its_port_and_a_listed_one_as_written() {
        let typed = "https://Forge.acme.dev".parse().expect("a URL");
        let allowed = AllowedHosts::none().typed(&typed).listed(["intern", "db:5432", "::1", "[fd00::1]:80"]);
        for (url, open) in [
            ("https://forge.acme.dev/x", true),
            ("https://forge.acme.dev:443/x", true),
            ("https://forge.acme.dev:8443/x", false),
            ("http://forge.acme.dev/x", false),
            ("https://forge.acme.dev.evil.dev/x", false),
            ("http://intern:1/x", true),
            ("http://db:5432/x", true),
            ("http://db/x", false),
            ("http://[::1]:9/x", true),
            ("http://[fd00::1]/x", true),
            ("http://[fd00::1]:81/x", false),
        ] {
            assert_eq!(allowed.allows(&url.parse().expect("a URL")), open, "{url}");
        }
    }
}
