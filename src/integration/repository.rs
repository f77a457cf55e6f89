//! A project's name on its forge (`owner/name`): as the operator wrote it, or as the repository's URL says it. Pure.

use crate::forge::ForgeKind;
use crate::git::{Place, RemoteUrl};
use crate::integration::kind::IntegrationProvider;

/// What a name on a forge looks like.
pub const EXPECTED: &str = "OWNER/NAME as the forge shows it, such as acme/shop (on GitLab with its groups)";

/// Whether a text is a repository's name on a forge.
pub fn is_name(text: &str) -> bool {
    let part = |part: &str| {
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'~' | b'+');
        !part.is_empty() && !matches!(part, "." | "..") && part.bytes().all(letters)
    };
    text.len() <= 512 && (2..=20).contains(&text.split('/').count()) && text.split('/').all(part)
}

/// The repository's name on the forge at `endpoint`, where its URL says it.
pub fn derived(provider: IntegrationProvider, endpoint: &str, url: &str) -> Option<String> {
    let url = RemoteUrl::parse(url).ok()?;
    let path = match url.place() {
        Place::Http(url) => url.path(),
        Place::Ssh(place) => &place.path,
        Place::Local(_) => return None,
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    // Where the forge itself is beneath a path, so are its repositories.
    let folder = endpoint.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
    let path = folder.and_then(|folder| path.strip_prefix(folder)?.strip_prefix('/')).unwrap_or(path);
    let path = match provider {
        // Its clone URLs over HTTP have a folder of their own.
        IntegrationProvider::Forge(ForgeKind::BitbucketServer) => path.strip_prefix("scm/").unwrap_or(path),
        _ => path,
    };
    is_name(path).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{derived, is_name};

    #[test]
    fn names_are_read_off_urls() {
        for (provider, endpoint, url, name) in [
            ("github", "https://github.com", "https://github.com/acme/shop.git", Some("acme/shop")),
            ("github", "https://github.com", "git@github.com:acme/shop.git", Some("acme/shop")),
            ("gitlab", "https://gitlab.com", "https://gitlab.com/acme/tools/shop", Some("acme/tools/shop")),
            ("gitlab", "https://acme.dev/gitlab", "https://acme.dev/gitlab/acme/shop.git", Some("acme/shop")),
            ("gitlab", "https://acme.dev/gitlab", "ssh://git@acme.dev/acme/shop.git", Some("acme/shop")),
            ("bitbucket-server", "https://b.acme.dev", "https://b.acme.dev/scm/SHOP/web.git", Some("SHOP/web")),
            ("bitbucket-server", "https://b.acme.dev", "ssh://git@b.acme.dev:7999/~ann/web.git", Some("~ann/web")),
            ("gitea", "https://git.acme.dev", "/srv/git/shop", None),
            ("gitea", "https://git.acme.dev", "https://git.acme.dev/shop.git", None),
        ] {
            assert_eq!(derived(provider.parse().expect("known"), endpoint, url).as_deref(), name, "{url}");
        }
    }

    #[test]
    fn a_name_is_no_path_and_no_url() {
        for good in ["acme/shop", "a/b/c", "~ann/web", "A.B/c_d-e"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["shop", "acme/", "/shop", "acme/../x", "acme/sh op", "https://x/y", "acme/shop?x=1", ""] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
