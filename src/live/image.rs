//! Image references and the content they resolved to.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::schema_as_text;
use crate::live::shared::SharedText;

/// Why a text is no image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an image reference such as nginx:1.27 or registry.acme.dev/shop/web:1.2")]
pub struct InvalidImage(pub String);

/// A content digest, `sha256:` and 64 hexadecimal digits (OCI image spec, descriptor.md, "Digests").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentDigest(Arc<str>);

impl ContentDigest {
    /// The digest as text, with its algorithm.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        &self.0["sha256:".len().."sha256:".len() + 12]
    }
}

impl FromStr for ContentDigest {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(ContentDigest(text.into()))
        } else {
            Err(InvalidImage(text.chars().take(120).collect()))
        }
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reference in full: `registry/repository[:tag][@digest]`. Familiar names are completed as Docker does it
/// (`nginx` is `docker.io/library/nginx:latest`), following distribution's reference grammar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    /// The registry's host and port.
    pub registry: SharedText,
    /// The repository within the registry.
    pub repository: SharedText,
    /// The tag; `None` only where a digest alone was given.
    pub tag: Option<SharedText>,
    /// The digest that pins the content.
    pub digest: Option<ContentDigest>,
}

/// The registry of names that give none.
pub const DEFAULT_REGISTRY: &str = "docker.io";

impl ImageRef {
    /// The reference without a digest: `registry/repository:tag`.
    pub fn tagged(&self) -> String {
        let tag = self.tag.as_deref().unwrap_or("latest");
        format!("{}:{tag}", self.name())
    }

    /// `registry/repository`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// This reference pinned to `digest`, the tag kept for people.
    pub fn pinned(&self, digest: &ContentDigest) -> Self {
        ImageRef { digest: Some(digest.clone()), ..self.clone() }
    }

    /// The short form that people write: Docker Hub's host and `library/` left out.
    pub fn familiar(&self) -> String {
        let name = if self.registry == DEFAULT_REGISTRY {
            self.repository.strip_prefix("library/").unwrap_or(&self.repository).to_owned()
        } else {
            self.name()
        };
        match &self.tag {
            Some(tag) => format!("{name}:{tag}"),
            None => name,
        }
    }
}

impl FromStr for ImageRef {
    type Err = InvalidImage;

    fn from_str(text: &str) -> Result<Self, InvalidImage> {
        let fail = || InvalidImage(text.chars().take(120).collect());
        if text.len() > 512 || text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(fail());
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest.parse::<ContentDigest>().map_err(|_| fail())?)),
            None => (text, None),
        };
        let last = named.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match named[last..].split_once(':') {
            Some((_, tag)) => (&named[..named.len() - tag.len() - 1], Some(tag)),
            None => (named, None),
        };
        let valid_tag = |tag: &str| {
            (1..=128).contains(&tag.len())
                && !tag.starts_with(['.', '-'])
                && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        };
        if tag.is_some_and(|tag| !valid_tag(tag)) {
            return Err(fail());
        }
        let (registry, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
                (host.to_owned(), rest.to_owned())
            }
            Some(_) => (DEFAULT_REGISTRY.to_owned(), name.to_owned()),
            None => (DEFAULT_REGISTRY.to_owned(), format!("library/{name}")),
        };
        let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY.to_owned() } else { registry };
        let valid_host = registry.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-[]".contains(&b));
        let valid_component = |part: &str| {
            part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b))
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        if name.is_empty() || !valid_host || !repository.split('/').all(valid_component) {
            return Err(fail());
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(ImageRef {
            registry: registry.into(),
            repository: repository.into(),
            tag: tag.map(SharedText::from),
            digest,
        })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
serde_as_text!(ContentDigest);
serde_as_text!(ImageRef);
schema_as_text!(ContentDigest, "a content digest: sha256: and 64 lower-case hexadecimal digits");
schema_as_text!(ImageRef, "an image reference in full: registry/repository[:tag][@digest]");

/// An image as it is compared: how it is called and what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ImageValue {
    /// The reference; `None` where a container was started from a bare image id.
    pub reference: Option<ImageRef>,
    /// Every digest that names this content: the registry's index digests, the Engine's image id.
    pub content: BTreeSet<ContentDigest>,
}

impl ImageValue {
    /// Whether both are the same image: the same repository, no two different tags, and content in common.
    pub fn same(&self, other: &ImageValue) -> bool {
        self.same_reference(other) && self.same_content(other)
    }

    /// Whether both go by the same name: the same repository and, where both have a tag, the same tag.
    pub fn same_reference(&self, other: &ImageValue) -> bool {
        match (&self.reference, &other.reference) {
            (Some(a), Some(b)) => {
                a.registry == b.registry
                    && a.repository == b.repository
                    && (a.tag.is_none() || b.tag.is_none() || a.tag == b.tag)
            }
            (None, _) | (_, None) => true,
        }
    }

    /// Whether any digest names both.
    pub fn same_content(&self, other: &ImageValue) -> bool {
        !self.content.is_disjoint(&other.content)
    }
}

impl fmt::Display for ImageValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Some(reference) => f.write_str(&reference.familiar()),
            None => match self.content.iter().next() {
                Some(digest) => write!(f, "@{}", digest.short()),
                None => f.write_str("(no image)"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ImageRef;

    #[test]
    fn familiar_names_are_completed() {
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("acme/web", "docker.io/acme/web:latest"),
            ("index.docker.io/acme/web:1", "docker.io/acme/web:1"),
            ("localhost/web", "localhost/web:latest"),
            ("localhost:5000/web:1", "localhost:5000/web:1"),
            ("registry.acme.dev/shop/web", "registry.acme.dev/shop/web:latest"),
        ] {
            assert_eq!(text.parse::<ImageRef>().expect(text).to_string(), full);
        }
        let digest = format!("nginx@sha256:{}", "a".repeat(64));
        let parsed: ImageRef = digest.parse().expect("valid");
        assert_eq!((parsed.tag, parsed.digest.is_some()), (None, true));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in
            ["", ":tag", "UPPER", "a b", "nginx:", "nginx:a b", "nginx@sha256:12", "/web", "web/", "a//b", "-web"]
        {
            assert!(text.parse::<ImageRef>().is_err(), "{text}");
        }
    }
}
