//! Completing what is declared with what only effects can tell: an image's content, a secret's fingerprint.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use secrecy::{ExposeSecret, SecretString};

use crate::declared::Declared;
use crate::drift::Gaps;
use crate::ids::{SecretName, ServiceName};
use crate::live::Observed;
use crate::live::field::FieldPath;
use crate::live::image::{ImageRef, ImageValue};
use crate::live::value::{PullPolicy, Value};
use crate::pass::{BACKGROUND, PassError, Passes, Site};
use crate::provider::Provider;

impl Passes {
    /// Fills images and secrets in; what cannot be is returned as gaps.
    pub(super) async fn complete(&self, declared: &mut Declared, site: &Site, actor: &str) -> Gaps {
        let ask = if self.offline && actor == BACKGROUND { Ask::Nobody } else { Ask::Registries };
        let mut gaps = images(declared, &*site.provider, ask).await;
        self.secrets(declared, site, actor, &mut gaps).await;
        gaps
    }

    async fn secrets(&self, declared: &mut Declared, site: &Site, actor: &str, gaps: &mut Gaps) {
        let mut resolved: BTreeMap<SecretName, Result<crate::ids::Fingerprint, String>> = BTreeMap::new();
        for (service, entry) in declared.services.iter_mut().flatten() {
            for (field, leaf) in &mut entry.leaves {
                let Value::Secret(secret) = &mut leaf.value else { continue };
                let Some(name) = &secret.name else { continue };
                if !resolved.contains_key(name) {
                    resolved.insert(name.clone(), self.fingerprint_of(site, name, actor).await);
                }
                match &resolved[name] {
                    Ok(fingerprint) => secret.fingerprint = Some(fingerprint.clone()),
                    Err(why) => gaps.add(service, field, why.clone()),
                }
            }
        }
    }

    /// The values of an environment's secrets, for carrying out a plan.
    ///
    /// # Errors
    /// The first that has no value or cannot be resolved: nothing goes on without it.
    pub async fn secret_values(
        &self,
        id: &crate::ids::EnvironmentRef,
        names: BTreeSet<SecretName>,
        actor: &str,
    ) -> Result<BTreeMap<SecretName, SecretString>, PassError> {
        let site = self.site(id).await?;
        let mut values = BTreeMap::new();
        for name in names {
            let Some(reference) = site.environment.secrets.get(&name) else {
                return Err(PassError::NoLeaf(missing(id, &name)));
            };
            let value =
                self.parts.secrets.resolve_for_service(reference, &format!("{id} secret {name}"), actor).await?;
            values.insert(name, value);
        }
        Ok(values)
    }

    async fn fingerprint_of(
        &self,
        site: &Site,
        name: &SecretName,
        actor: &str,
    ) -> Result<crate::ids::Fingerprint, String> {
        let id = &site.environment.id;
        let Some(reference) = site.environment.secrets.get(name) else {
            return Err(missing(id, name));
        };
        let value = self
            .parts
            .secrets
            .resolve_for_service(reference, &format!("{id} secret {name}"), actor)
            .await
            .map_err(|error| format!("the secret {name} of {id}: {error}"))?;
        Ok(self.parts.secrets.fingerprint(value.expose_secret()))
    }
}

fn missing(id: &crate::ids::EnvironmentRef, name: &SecretName) -> String {
    format!("the secret {name} has no value in {id}; set it with `trueup env set {id} --secret {name}=env://NAME`")
}

/// Who is asked what a tag means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// Registries, where they decide.
    Registries,
    /// No registry: the operator has the daemon ask nobody by itself.
    Nobody,
}

/// Resolves every declared image, each once; those that do not resolve are gaps.
pub(super) async fn images(declared: &mut Declared, provider: &dyn Provider, ask: Ask) -> Gaps {
    let mut wanted: BTreeMap<(ImageRef, Option<PullPolicy>), Vec<ServiceName>> = BTreeMap::new();
    for (service, entry) in declared.services.iter().flatten() {
        let pull = match entry.leaves.get(&FieldPath::Pull).map(|leaf| &leaf.value) {
            Some(Value::Pull(policy)) => Some(*policy),
            _ => None,
        };
        if let Some(Value::Image(image)) = entry.leaves.get(&FieldPath::Image).map(|leaf| &leaf.value)
            && let ImageValue { reference: Some(reference), content } = &**image
            && content.is_empty()
        {
            wanted.entry((reference.clone(), pull)).or_default().push(service.clone());
        }
    }
    let resolve = |(key, services): ((ImageRef, Option<PullPolicy>), Vec<ServiceName>)| async move {
        let resolved = match ask {
            Ask::Registries => provider.resolve_image(&key.0, key.1).await,
            Ask::Nobody => provider.resolve_image_here(&key.0, key.1).await,
        };
        (services, resolved)
    };
    let mut gaps = Gaps::default();
    for (services, resolved) in join_all(wanted.into_iter().map(resolve)).await {
        for service in services {
            let Some(leaf) = declared
                .services
                .as_mut()
                .and_then(|all| all.get_mut(&service))
                .and_then(|entry| entry.leaves.get_mut(&FieldPath::Image))
            else {
                continue;
            };
            match &resolved {
                Observed::Known(image) => leaf.value = Value::Image(image.clone().into()),
                Observed::Unknown(why) => gaps.add(&service, &FieldPath::Image, why.clone()),
            }
        }
    }
    gaps
}

/// Without an environment's secrets every declared secret is a gap.
pub(super) fn secrets_unresolved(declared: &Declared, mut gaps: Gaps) -> Gaps {
    for (service, entry) in declared.services.iter().flatten() {
        for (field, leaf) in &entry.leaves {
            if matches!(leaf.value, Value::Secret(_)) {
                gaps.add(service, field, "secrets are known to the daemon only".to_owned());
            }
        }
    }
    gaps
}
