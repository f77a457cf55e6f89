//! What no single value can break: rules between the values of a service, and between the services of an environment.
//!
//! Run on what is known: while checking, values that wait for their templates are absent and break no rule.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::declared::credential;
use crate::declared::env::EnvValue;
use crate::declared::ports::PublishedPort;
use crate::declared::problem::{Place, Problems, Wrong};
use crate::declared::service::Service;
use crate::declared::shape::Leaf;
use crate::declared::volumes::{Source, check_host_path};
use crate::ids::ServiceName;
use crate::live::value::PortBinding;

/// The most globs of an environment's services, together: each costs a comparison with every file of the repository.
const MAX_GLOBS: usize = 256;

/// A service of an environment; `None` where it could not be read.
pub(crate) struct Member<'a> {
    pub(crate) name: &'a ServiceName,
    pub(crate) service: Option<&'a Service>,
}

/// The rules within a service.
pub(crate) fn check_service(service: &Service, problems: &mut Problems) {
    check_credentials(service, problems);
    check_labels(service, problems);
    check_volumes(service, problems);
    check_replicas(service, problems);
    check_deploy(service, problems);
    let ports = service.ports.iter().flat_map(|ports| &ports.items);
    let mut seen: BTreeMap<(u16, &str, &PortBinding), &Place> = BTreeMap::new();
    for port in ports {
        let key = (port.value.container, port.value.protocol, &port.value.binding);
        if let Some(earlier) = seen.insert(key, &port.origin.place) {
            let wrong = Wrong::new(format!("this port is published twice, first {}", earlier.phrase()));
            problems.add(&port.origin.place, wrong.help("remove one of the two"));
        }
    }
}

/// The rules between the services of an environment.
pub(crate) fn check_environment(members: &[Member<'_>], problems: &mut Problems) {
    check_dependencies(members, problems);
    check_host_ports(members, problems);
    let globs = members.iter().filter_map(|member| member.service?.source.as_ref());
    let mut count = 0;
    for list in globs {
        count += list.items.len();
        if count > MAX_GLOBS {
            let wrong =
                Wrong::new(format!("the services of this environment have more than {MAX_GLOBS} globs together"));
            problems.add(&list.place, wrong.help("name directories rather than files"));
            return;
        }
    }
}

/// The operator's rule: no path of the host but those allowed.
pub(crate) fn check_host_paths(service: &Service, allowed: &[String], problems: &mut Problems) {
    for volume in service.volumes.iter().flat_map(|volumes| &volumes.items) {
        if let Source::Host(path) = &volume.source
            && let Err(wrong) = check_host_path(path, allowed)
        {
            problems.add(&volume.origin.place, wrong);
        }
    }
}

fn check_credentials(service: &Service, problems: &mut Problems) {
    for entry in service.env.iter().flat_map(|env| &env.entries) {
        let Some(EnvValue::Plain { plain: false, place, text: _ }) = &entry.value else { continue };
        let name = &entry.key.0;
        if credential::is_credential_name(name) {
            // The value is not repeated: this error may be read by anyone.
            let wrong =
                Wrong::new(format!("`{name}` looks like a credential, and its value stands here in plain text"));
            problems.add(
                place,
                wrong.help(format!(
                    "write `{name}: {{ secret: {0} }}`, and an operator gives the environment that secret: `trueup env set … \
                     --secret {0}=REFERENCE`; if this is no secret, write `{{ value: …, plain: true }}`",
                    credential::secret_name(name)
                )),
            );
        }
    }
}

/// A label cannot be a secret: whoever may look at a container reads its labels. Only the last part of a key names what
/// the value is (`traefik.http.middlewares.auth.forwardauth.address` is an address).
fn check_labels(service: &Service, problems: &mut Problems) {
    for entry in service.labels.iter().flat_map(|labels| &labels.entries) {
        let key = &entry.key.0;
        let last = key.rsplit(['.', '/']).next().unwrap_or(key);
        if let Some(value) = &entry.value
            && credential::is_credential_name(last)
        {
            let wrong = Wrong::new(format!(
                "the label `{key}` looks like a credential, and labels can be read by anyone who may look"
            ));
            problems.add(
                &value.origin.place,
                wrong.help("give it to the service as a variable, `env: { NAME: { secret: name } }`; if it is none, give the label another name"),
            );
        }
    }
}

fn check_volumes(service: &Service, problems: &mut Problems) {
    let mut seen: BTreeMap<&str, &Place> = BTreeMap::new();
    for volume in service.volumes.iter().flat_map(|volumes| &volumes.items) {
        if let Some(earlier) = seen.insert(&volume.target, &volume.origin.place) {
            let wrong = Wrong::new(format!("something else is mounted at this path already, {}", earlier.phrase()));
            problems.add(&volume.origin.place, wrong.help("mount it elsewhere, or remove one of the two"));
        }
    }
}

fn check_replicas(service: &Service, problems: &mut Problems) {
    let Some(replicas) = service.replicas.as_ref().filter(|replicas| replicas.value.0 > 1) else { return };
    for port in service.ports.iter().flat_map(|ports| &ports.items) {
        if let Some(host_port) = port.value.binding.host_port {
            let wrong = Wrong::new(format!(
                "only one replica can have port {host_port} of the host, and {} replicas are declared {}",
                replicas.value.0,
                replicas.origin.place.phrase()
            ));
            let help = format!("leave the host port out (`{}`), or run one replica", port.value.container);
            problems.add(&port.origin.place, wrong.help(help));
        }
    }
}

/// With `recreate` the old replica has to stop before the new one starts: leaving a failed new one in its place would
/// be an outage that someone asked for by accident.
fn check_deploy(service: &Service, problems: &mut Problems) {
    let policy = service.deploy.as_ref().and_then(|deploy| deploy.rollback_on_failure.as_ref());
    if let Some(refused) = policy.filter(|policy| !policy.value) {
        let wrong =
            Wrong::new("`rollback_on_failure: false` is not supported: a failed deploy never takes down what runs");
        let help = "remove it; the failed replica's last output is in the run: `trueup show RUN`";
        problems.add(&refused.origin.place, wrong.help(help));
    }
}

/// The addresses of one host port that are taken.
#[derive(Default)]
struct Taken<'a>(BTreeMap<Option<IpAddr>, (&'a ServiceName, &'a Leaf<PublishedPort>)>);

impl<'a> Taken<'a> {
    /// Who has the address, or one that includes it or is included in it.
    fn by(&self, ip: Option<IpAddr>) -> Option<(&'a ServiceName, &'a Leaf<PublishedPort>)> {
        let Some(ip) = ip else { return self.0.values().next().copied() };
        let any = if ip.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let exact = [None, Some(ip), Some(any)].iter().find_map(|key| self.0.get(key));
        let family = || self.0.range(Some(any)..).find(|(key, _)| key.is_some_and(|key| key.is_ipv4() == ip.is_ipv4()));
        exact.copied().or_else(|| if ip == any { family().map(|(_, taken)| *taken) } else { None })
    }
}

fn check_host_ports(members: &[Member<'_>], problems: &mut Problems) {
    let mut taken: BTreeMap<(&str, u16), Taken<'_>> = BTreeMap::new();
    for Member { name, service } in members {
        for port in service.iter().filter_map(|service| service.ports.as_ref()).flat_map(|ports| &ports.items) {
            let Some(host_port) = port.value.binding.host_port else { continue };
            let taken = taken.entry((port.value.protocol, host_port)).or_default();
            match taken.by(port.value.binding.host_ip) {
                // The very same port twice in one service was reported as that.
                Some((owner, other)) if owner == *name && other.value == port.value => {}
                Some((owner, other)) => {
                    let wrong = Wrong::new(format!(
                        "port {host_port} of the host is taken already, by `{owner}` {}",
                        other.origin.place.phrase()
                    ));
                    problems.add(&port.origin.place, wrong.help("publish it at another port or address"));
                }
                None => {
                    taken.0.insert(port.value.binding.host_ip, (*name, port));
                }
            }
        }
    }
}

fn check_dependencies(members: &[Member<'_>], problems: &mut Problems) {
    let names: BTreeSet<&ServiceName> = members.iter().map(|member| member.name).collect();
    let mut waits: BTreeMap<&ServiceName, Vec<&Leaf<ServiceName>>> = BTreeMap::new();
    for Member { name, service } in members {
        for dependency in service.iter().filter_map(|service| service.depends_on.as_ref()).flat_map(|list| &list.items)
        {
            let target = &dependency.value;
            if target == *name {
                let wrong = Wrong::new(format!("`{name}` cannot wait for itself")).help("remove this entry");
                problems.add(&dependency.origin.place, wrong);
            } else if !names.contains(target) {
                if problems.is_full() {
                    return;
                }
                let known = names.iter().filter(|known| *known != name).map(|known| known.as_str());
                let wrong = Wrong::new(format!("there is no service `{target}` in this environment"));
                let help = match crate::declared::suggest::nearest(target.as_str(), known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "only services of the same environment can be waited for".to_owned(),
                };
                problems.add(&dependency.origin.place, wrong.help(help));
            } else {
                waits.entry(name).or_default().push(dependency);
            }
        }
    }
    if let Some((path, closing)) = find_circle(&waits) {
        let wrong = Wrong::new(format!("these services wait for one another in a circle: {path}"));
        problems.add(&closing.origin.place, wrong.help("remove one of these `depends_on`"));
    }
}

/// One circle, as `a → b → a`, and the entry that closes it. Depth first on a stack of its own: chains may be long.
fn find_circle<'a>(
    waits: &BTreeMap<&'a ServiceName, Vec<&'a Leaf<ServiceName>>>,
) -> Option<(String, &'a Leaf<ServiceName>)> {
    let mut done: BTreeSet<&ServiceName> = BTreeSet::new();
    for start in waits.keys() {
        let mut path: Vec<(&ServiceName, usize)> = vec![(start, 0)];
        let mut on_path: BTreeSet<&ServiceName> = BTreeSet::from([*start]);
        while let Some((name, next)) = path.last_mut() {
            let entry = waits.get(*name).and_then(|entries| entries.get(*next)).copied();
            *next += 1;
            match entry {
                Some(entry) if on_path.contains(&entry.value) => {
                    let circle =
                        path.iter().map(|(name, _)| name.as_str()).skip_while(|name| *name != entry.value.as_str());
                    let circle: Vec<&str> = circle.chain([entry.value.as_str()]).collect();
                    return Some((circle.join(" → "), entry));
                }
                Some(entry) if !done.contains(&entry.value) => {
                    on_path.insert(&entry.value);
                    path.push((&entry.value, 0));
                }
                Some(_) => {}
                None => {
                    if let Some((name, _)) = path.pop() {
                        on_path.remove(name);
                        done.insert(name);
                    }
                }
            }
        }
    }
    None
}
