//! What a successor keeps of its predecessor: everything that someone set and nobody declares, withdraws, or had from
//! the image. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{ContainerConfig, ContainerCreateBody, EndpointSettings, HostConfig};

use super::create::Blueprint;
use super::facts::{ImageFacts, clean_path};
use super::labels;
use super::mounts;
use crate::live::field::FieldPath;

fn from_image<'a>(blueprint: &'a Blueprint<'_>) -> Option<&'a ImageFacts> {
    blueprint.from.map(|(_, image)| image)
}

/// Environment entries by name, `NAME=VALUE` or, unset on purpose, `NAME`.
pub(super) fn env(blueprint: &Blueprint<'_>, old: &ContainerConfig) -> BTreeMap<String, String> {
    let mut kept = BTreeMap::new();
    for entry in old.env.iter().flatten() {
        let (key, value) = match entry.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (entry.as_str(), None),
        };
        let inherited = from_image(blueprint).and_then(|image| image.env.get(key)).map(String::as_str);
        if blueprint.carries(&FieldPath::Env(key.into())) && (value.is_none() || inherited != value) {
            kept.insert(key.to_owned(), entry.clone());
        }
    }
    kept
}

/// Labels; Trueup's own are not kept, they are the successor's.
pub(super) fn labels(blueprint: &Blueprint<'_>, old: &ContainerConfig) -> HashMap<String, String> {
    let inherited = |key: &String, value: &String| from_image(blueprint).and_then(|i| i.labels.get(key)) == Some(value);
    old.labels
        .iter()
        .flatten()
        .filter(|(key, value)| !key.starts_with(labels::PREFIX) && !inherited(key, value))
        .filter(|(key, _)| blueprint.carries(&FieldPath::Labels((*key).into())))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

pub(super) fn user(blueprint: &Blueprint<'_>, old: &ContainerConfig) -> Option<String> {
    let inherited = from_image(blueprint).map(|image| &image.user);
    old.user.clone().filter(|user| !user.is_empty() && Some(user) != inherited)
}

pub(super) fn working_dir(blueprint: &Blueprint<'_>, old: &ContainerConfig) -> Option<String> {
    let inherited = from_image(blueprint).map(|image| clean_path(&image.working_dir));
    old.working_dir.clone().filter(|dir| !dir.is_empty() && Some(clean_path(dir)) != inherited)
}

/// Ports that the predecessor exposed by itself.
pub(super) fn exposed_ports(blueprint: &Blueprint<'_>, old: &ContainerConfig) -> BTreeSet<String> {
    let inherited = |port: &String| from_image(blueprint).is_some_and(|image| image.exposed_ports.contains(port));
    old.exposed_ports
        .iter()
        .flatten()
        .filter(|port| !inherited(port) && !blueprint.withdrawn.contains(&FieldPath::Ports((*port).into())))
        .cloned()
        .collect()
}

/// The fields of a container's own configuration that no leaf stands for. The host name is kept unless the Engine made
/// it from the container's id.
pub(super) fn config(blueprint: &Blueprint<'_>, old: &ContainerConfig) -> ContainerCreateBody {
    let Some((inspect, image)) = blueprint.from else { return ContainerCreateBody::default() };
    let id = inspect.id.as_deref().unwrap_or_default();
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let anonymous = mounts::anonymous_volumes(inspect);
    let volumes: Vec<String> = old
        .volumes
        .iter()
        .flatten()
        .map(|path| clean_path(path))
        .filter(|path| !image.volumes.contains(path))
        .filter(|path| !(blueprint.takes_over() && anonymous.contains_key(path)))
        .filter(|path| blueprint.carries(&FieldPath::Volumes(path.into())))
        .collect();
    ContainerCreateBody {
        hostname: text(&old.hostname).filter(|name| blueprint.takes_over() && !id.starts_with(name.as_str())),
        domainname: text(&old.domainname),
        tty: old.tty,
        open_stdin: old.open_stdin,
        stdin_once: old.stdin_once,
        network_disabled: old.network_disabled,
        stop_signal: text(&old.stop_signal).filter(|signal| Some(signal) != image.stop_signal.as_ref()),
        healthcheck: old.healthcheck.clone().filter(|check| Some(check) != image.healthcheck.as_ref()),
        shell: old.shell.clone().filter(|shell| Some(shell) != image.shell.as_ref()),
        volumes: (!volumes.is_empty()).then_some(volumes),
        ..ContainerCreateBody::default()
    }
}

/// The host's side, its mounts and ports reduced to what nobody declares or withdraws.
pub(super) fn host_config(blueprint: &Blueprint<'_>, old: HostConfig) -> HostConfig {
    let Some((inspect, _)) = blueprint.from else { return old };
    let carries_path = |path: &str| blueprint.carries(&FieldPath::Volumes(clean_path(path).into()));
    let mut host = old;
    let mut binds: Vec<String> = host.binds.take().unwrap_or_default();
    binds.retain(|bind| mounts::bind_destination(bind).is_none_or(|path| carries_path(&path)));
    // What the predecessor wrote to its nameless volumes is nobody's setting and must survive.
    let nameless = mounts::anonymous_volumes(inspect).into_iter().filter(|_| blueprint.takes_over());
    binds.extend(nameless.filter(|(path, _)| carries_path(path)).map(|(path, name)| format!("{name}:{path}")));
    host.binds = (!binds.is_empty()).then_some(binds);
    if let Some(list) = &mut host.mounts {
        list.retain(|mount| mount.target.as_deref().is_none_or(carries_path));
    }
    if let Some(list) = &mut host.tmpfs {
        list.retain(|path, _| carries_path(path));
    }
    if let Some(ports) = &mut host.port_bindings {
        ports.retain(|port, _| blueprint.carries(&FieldPath::Ports(port.as_str().into())));
    }
    // Trueup's replicas are not removed behind its back.
    host.auto_remove = None;
    host.container_id_file = None;
    host.console_size = None;
    host
}

/// Whether the container joins networks at all: not with the host's, another container's, or none.
pub(super) fn joins_network(host: &HostConfig) -> bool {
    let mode = host.network_mode.as_deref().unwrap_or_default();
    !(mode == "host" || mode == "none" || mode.starts_with("container:"))
}

/// The endpoint on the environment's network: the service's name as alias, and aliases that someone added.
pub(super) fn own_endpoint(blueprint: &Blueprint<'_>) -> EndpointSettings {
    let old = endpoints(blueprint).and_then(|all| all.get(blueprint.network).cloned());
    let service = blueprint.identity.service.to_string();
    let mut aliases = vec![service.clone()];
    aliases.extend(old.iter().flat_map(|endpoint| own_aliases(blueprint, endpoint)).filter(|alias| *alias != service));
    EndpointSettings {
        aliases: Some(aliases),
        driver_opts: old.as_ref().and_then(|endpoint| endpoint.driver_opts.clone()),
        links: old.and_then(|endpoint| endpoint.links),
        ..EndpointSettings::default()
    }
}

/// The other networks that the predecessor was on.
pub(super) fn further_networks(blueprint: &Blueprint<'_>) -> BTreeMap<String, EndpointSettings> {
    let mut networks = BTreeMap::new();
    for (name, endpoint) in endpoints(blueprint).into_iter().flatten() {
        if name == blueprint.network || name == "host" || name == "none" {
            continue;
        }
        // The Engine's default bridge knows no aliases.
        let aliases = (name != "bridge").then(|| own_aliases(blueprint, endpoint)).filter(|list| !list.is_empty());
        let kept = EndpointSettings {
            aliases,
            links: endpoint.links.clone(),
            ipam_config: endpoint.ipam_config.clone().filter(|_| blueprint.takes_over()),
            driver_opts: endpoint.driver_opts.clone(),
            ..EndpointSettings::default()
        };
        networks.insert(name.clone(), kept);
    }
    networks
}

fn endpoints<'a>(blueprint: &'a Blueprint<'_>) -> Option<&'a HashMap<String, EndpointSettings>> {
    blueprint.from.and_then(|(inspect, _)| inspect.network_settings.as_ref()).and_then(|net| net.networks.as_ref())
}

/// Aliases without the one that the Engine makes from the container's id.
fn own_aliases(blueprint: &Blueprint<'_>, endpoint: &EndpointSettings) -> Vec<String> {
    let id = blueprint.from.and_then(|(inspect, _)| inspect.id.as_deref()).unwrap_or_default();
    endpoint.aliases.iter().flatten().filter(|alias| !id.starts_with(alias.as_str())).cloned().collect()
}
