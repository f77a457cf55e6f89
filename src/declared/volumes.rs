//! Mounts: `name:/path[:ro]`, `/host:/path[:ro]`, or a map that says the same and can be external.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::declared::problem::{Wrong, shown};
use crate::declared::reader::{Origin, Reader};
use crate::declared::shape::{Leaf, Scalar, Shape, keys};
use crate::declared::text::clean_path;
use crate::declared::tree::{Content, Node};

const EXPECTED: &str = "a volume: `name:/path`, `name:/path:ro` or a map of source and target";

/// Where a mount's content lives, as the file says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Named(String),
    External(String),
    Host(String),
}

/// One mount.
#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) source: Source,
    pub(crate) target: String,
    pub(crate) read_only: bool,
    pub(crate) origin: Origin,
}

keys! {
    /// One mount, in full.
    VolumeMap is "a volume" {
        /// A volume's name (it becomes `PROJECT-ENVIRONMENT-NAME` and is made where it is missing), or an absolute path of
        /// the host, which the operator must have allowed.
        source: Leaf<VolumeSource> = "data",
        /// The absolute path in the container.
        target: Leaf<Target> = "/var/lib/shop",
        /// Whether the service may only read it. Default: false.
        read_only: Leaf<bool> = true,
        /// Whether the volume exists already, under exactly this name: Trueup then neither makes nor renames it.
        /// Default: false.
        external: Leaf<bool> = true,
    }
    required {
        "source" => "write `source: name`",
        "target" => "write `target: /path`",
    }
    later []
    foreign {
        "type" => "remove it: a path is a host path, anything else a volume's name",
        "name" => "write `source`",
        "path" => "write `target`",
        "readonly" => "write `read_only`",
    }
}

/// The source alone.
#[derive(Clone, Debug)]
pub(crate) struct VolumeSource(Source);

/// The target alone.
#[derive(Clone, Debug)]
pub(crate) struct Target(String);

/// Source, target and mode in one text.
struct ShortVolume {
    source: Source,
    target: String,
    read_only: bool,
}

impl Scalar for VolumeSource {
    const EXPECTED: &'static str = "a volume's name or an absolute path of the host";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        if text.starts_with('/') {
            return Ok(VolumeSource(Source::Host(clean_path(text)?)));
        }
        if text.starts_with(['.', '~']) {
            return Err(Wrong::new(
                "the path of a host is absolute: what runs has no directory of yours to be relative to",
            )
            .help("write an absolute path that the operator allowed, or a volume's name"));
        }
        let valid = (1..=128).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if valid {
            Ok(VolumeSource(Source::Named(text.to_owned())))
        } else {
            Err(Wrong::new(format!("{} is not a volume's name: letters, digits, `_`, `.` and `-`", shown(text)))
                .help("name it such as `data`"))
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

impl Scalar for Target {
    const EXPECTED: &'static str = "an absolute path in the container";
    fn from_text(text: &str) -> Result<Self, Wrong> {
        if !text.starts_with('/') {
            return Err(Wrong::new(format!("{} is not {}", shown(text), Self::EXPECTED)).help("begin it with `/`"));
        }
        match clean_path(text)? {
            path if path == "/" => {
                Err(Wrong::new("nothing can be mounted over `/`")
                    .help("name a directory below it, such as /var/lib/shop"))
            }
            path => Ok(Target(path)),
        }
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^/" })
    }
}

impl Scalar for ShortVolume {
    const EXPECTED: &'static str = EXPECTED;
    fn from_text(text: &str) -> Result<Self, Wrong> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, mode) = match parts.as_slice() {
            [source, target] => (source, target, "rw"),
            [source, target, mode] => (source, target, *mode),
            [target] if target.starts_with('/') => {
                return Err(Wrong::new("a volume needs a name, or it could not be found again")
                    .help(format!("write `name:{}`", if target.len() <= 48 { target } else { "/path" })));
            }
            _ => {
                return Err(
                    Wrong::new(format!("{} is not {EXPECTED}", shown(text))).help("the form is name:/path[:ro]")
                );
            }
        };
        let read_only = match mode {
            "ro" => true,
            "rw" => false,
            _ => {
                return Err(Wrong::new(format!("{} is not a mount's mode", shown(mode)))
                    .help("write `ro` for read-only, or nothing"));
            }
        };
        let VolumeSource(source) = VolumeSource::from_text(source)?;
        let Target(target) = Target::from_text(target)?;
        Ok(ShortVolume { source, target, read_only })
    }
    fn schema() -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
    }
}

impl Shape for Volume {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if !matches!(node.content, Content::Map(_)) {
            let short = Leaf::<ShortVolume>::read(node, reader)?;
            let ShortVolume { source, target, read_only } = short.value;
            return Some(Volume { source, target, read_only, origin: short.origin });
        }
        let VolumeMap { source, target, read_only, external } = VolumeMap::read(node, reader)?;
        let (source, target) = (source?, target?);
        let external = external.is_some_and(|external| external.value);
        let read_only = read_only.is_some_and(|read_only| read_only.value);
        let origin = Origin::join(&node.place, [&source.origin, &target.origin], |parts| {
            let words = [(external, "external"), (read_only, "ro")];
            let words = words.iter().filter(|(said, _)| *said).map(|(_, word)| *word);
            parts.iter().copied().chain(words).collect::<Vec<_>>().join(":")
        });
        let source = match (source.value.0, external) {
            (Source::Named(name), true) => Source::External(name),
            (Source::Host(_), true) => {
                let wrong =
                    Wrong::new("a path of the host is no volume, so it cannot be external").help("remove `external`");
                reader.problem(&node.place, wrong);
                return None;
            }
            (source, _) => source,
        };
        Some(Volume { source, target: target.value.0, read_only, origin })
    }
}

impl JsonSchema for Volume {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Volume".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [ShortVolume::schema(), generator.subschema_for::<VolumeMap>()] })
    }
}

/// Where engines listen: whoever mounts one of these commands the machine.
const SOCKETS: [&str; 4] =
    ["/run/docker.sock", "/run/podman/podman.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock"];

/// Whether the operator's list allows a service to mount a path of the host, and what to say where it does not. A path
/// allows itself and what is beneath it; an engine's socket must be listed itself.
pub(crate) fn check_host_path(path: &str, allowed: &[String]) -> Result<(), Wrong> {
    let physical = |path: &str| match path.strip_prefix("/var/run") {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("/run{rest}"),
        _ => path.to_owned(),
    };
    let path = physical(path);
    let allowed: Vec<String> =
        allowed.iter().filter_map(|path| clean_path(path).ok()).map(|path| physical(&path)).collect();
    let beneath = |parent: &String| {
        parent == "/" || path.strip_prefix(parent.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if SOCKETS.contains(&path.as_str()) {
        if allowed.contains(&path) {
            return Ok(());
        }
        return Err(Wrong::new("this is the engine's socket: who mounts it commands the whole machine")
            .help("an operator can allow exactly this path: `trueup env set … --allow-host-path PATH`"));
    }
    if allowed.iter().any(beneath) {
        return Ok(());
    }
    Err(Wrong::new(format!("the operator has not allowed the host path {}", shown(&path)))
        .help("use a named volume, or ask an operator to allow it: `trueup env set … --allow-host-path PATH`"))
}

#[cfg(test)]
mod tests {
    use super::{ShortVolume, check_host_path};
    use crate::declared::shape::Scalar;

    #[test]
    fn short_volumes() {
        for (text, ok) in [
            ("data:/var/lib/shop", true),
            ("data:/var/lib/shop:ro", true),
            ("data:/var/lib/shop/", true),
            ("/srv/shop:/data:rw", true),
            ("/data", false),
            ("data:data", false),
            ("./data:/data", false),
            ("data:/", false),
            ("data:/a/../b", false),
            ("/srv/../etc:/data", false),
            ("data:/a:z", false),
            ("a:b:c:d", false),
            ("", false),
        ] {
            assert_eq!(ShortVolume::from_text(text).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn host_paths_need_the_operators_word() {
        let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        for (path, allowed, ok) in [
            ("/srv/shop", list(&["/srv"]), true),
            ("/srv", list(&["/srv/"]), true),
            ("/srvx", list(&["/srv"]), false),
            ("/etc", list(&[]), false),
            ("/etc", list(&["/"]), true),
            ("/var/run/docker.sock", list(&["/"]), false),
            ("/run/docker.sock", list(&["/var/run/docker.sock"]), true),
            ("/var/run/docker.sock", list(&["/run/docker.sock"]), true),
            ("/srv/x", list(&["/srv/../"]), false),
        ] {
            assert_eq!(check_host_path(path, &allowed).is_ok(), ok, "{path} {allowed:?}");
        }
    }
}
