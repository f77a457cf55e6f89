//! What is mounted in a container: as leaves, and as what a successor carries over. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{ContainerInspectResponse, Mount, MountPoint, MountType};

use super::facts::{ImageFacts, clean_path};
use crate::live::field::FieldPath;
use crate::live::value::{Value, VolumeMount, VolumeSource};
use crate::live::{LiveLeaf, Observed};

/// Volumes that the Engine named itself: 64 hexadecimal digits.
pub(super) fn anonymous(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The destination of a `SOURCE:DESTINATION[:OPTIONS]` bind.
pub(super) fn bind_destination(bind: &str) -> Option<String> {
    bind.split(':').nth(1).map(clean_path)
}

/// The mounts as leaves. A `tmpfs` has no form in the file and is left to itself.
pub(super) fn leaves(
    inspect: &ContainerInspectResponse,
    image: Option<&ImageFacts>,
    prefix: &str,
) -> BTreeMap<FieldPath, Observed<LiveLeaf>> {
    let mut leaves = BTreeMap::new();
    for point in inspect.mounts.iter().flatten() {
        let Some(path) = point.destination.as_deref().map(clean_path) else { continue };
        let leaf = match kind(point) {
            Kind::Volume(name) => {
                let supplied = anonymous(name) && image.is_some_and(|image| image.volumes.contains(&path));
                let source = if name.starts_with(prefix) {
                    VolumeSource::Named(name.into())
                } else {
                    VolumeSource::External(name.into())
                };
                if anonymous(name) && image.is_none() {
                    Observed::Unknown("the Engine no longer has the image that may have asked for this volume".into())
                } else {
                    Observed::Known(LiveLeaf { value: volume(source, point), supplied })
                }
            }
            Kind::Host(source) => {
                Observed::Known(LiveLeaf::set(volume(VolumeSource::Host(clean_path(source).into()), point)))
            }
            Kind::Other => continue,
        };
        leaves.insert(FieldPath::Volumes(path.into()), leaf);
    }
    leaves
}

enum Kind<'a> {
    Volume(&'a str),
    Host(&'a str),
    Other,
}

fn kind(point: &MountPoint) -> Kind<'_> {
    match (point.typ.as_deref(), point.name.as_deref(), point.source.as_deref()) {
        (Some("volume"), Some(name), _) => Kind::Volume(name),
        (Some("bind"), _, Some(source)) => Kind::Host(source),
        _ => Kind::Other,
    }
}

fn volume(source: VolumeSource, point: &MountPoint) -> Value {
    Value::Volume(VolumeMount { source, read_only: point.rw == Some(false) })
}

/// The anonymous volumes of a container, by destination: their content is nobody's setting and moves to the successor.
pub(super) fn anonymous_volumes(inspect: &ContainerInspectResponse) -> BTreeMap<String, String> {
    let host = inspect.host_config.as_ref();
    let bound: BTreeSet<String> =
        host.and_then(|host| host.binds.as_ref()).into_iter().flatten().filter_map(|b| bind_destination(b)).collect();
    let mounted: BTreeSet<String> = host
        .and_then(|host| host.mounts.as_ref())
        .into_iter()
        .flatten()
        .filter_map(|mount| mount.target.as_deref().map(clean_path))
        .collect();
    let mut volumes = BTreeMap::new();
    for point in inspect.mounts.iter().flatten() {
        if let (Kind::Volume(name), Some(path)) = (kind(point), point.destination.as_deref().map(clean_path))
            && anonymous(name)
            && !bound.contains(&path)
            && !mounted.contains(&path)
        {
            volumes.insert(path, name.to_owned());
        }
    }
    volumes
}

/// A declared mount as the Engine takes it. A host path that does not exist is an error there, not a new directory.
pub(super) fn engine_mount(path: &str, mount: &VolumeMount) -> Mount {
    let typ = match mount.source {
        VolumeSource::Named(_) | VolumeSource::External(_) => MountType::VOLUME,
        VolumeSource::Host(_) => MountType::BIND,
    };
    Mount {
        target: Some(clean_path(path)),
        source: Some(mount.source.name().to_owned()),
        typ: Some(typ),
        read_only: Some(mount.read_only),
        ..Mount::default()
    }
}
