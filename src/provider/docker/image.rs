//! Images: what the Engine has, what a reference means now, and the short memory of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::engine::{Engine, EngineError};
use super::facts::ImageFacts;
use super::registry::{Ask, Registry};
use crate::live::Observed;
use crate::live::image::{ContentDigest, ImageRef, ImageValue};
use crate::live::value::PullPolicy;

/// How long an inspected image is taken for what it was. An image's own settings never change under its id; the
/// registry digests that name it may, by a push or a pull.
const IMAGE_TTL: Duration = Duration::from_secs(10);

/// When an image was looked at, and what was found; `None` where the Engine has it no more.
type Seen = (Instant, Option<Arc<ImageFacts>>);

/// The images that containers on one Engine run from, by id.
#[derive(Debug, Default)]
pub(super) struct ImageCache {
    known: Mutex<BTreeMap<String, Seen>>,
}

impl ImageCache {
    fn fresh(&self, id: &str) -> Option<Option<Arc<ImageFacts>>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).filter(|(at, _)| at.elapsed() < IMAGE_TTL).map(|(_, facts)| facts.clone())
    }

    fn keep(&self, id: &str, facts: Option<Arc<ImageFacts>>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < IMAGE_TTL);
        known.insert(id.to_owned(), (Instant::now(), facts));
    }

    /// Forgets everything: Trueup itself pulled or tagged.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Engine {
    /// The image of a container, by id; `None` where the Engine no longer has it.
    pub(super) async fn image_of(&self, id: &str) -> Result<Option<Arc<ImageFacts>>, EngineError> {
        if let Some(facts) = self.images.fresh(id) {
            return Ok(facts);
        }
        let facts = self.image(id).await?.map(Arc::new);
        self.images.keep(id, facts.clone());
        Ok(facts)
    }

    /// An image by any name, asked for now; `None` where the Engine does not have it.
    pub(super) async fn image(&self, name: &str) -> Result<Option<ImageFacts>, EngineError> {
        let name = name.to_owned();
        match self.read(|docker| async move { docker.inspect_image(&name).await }).await {
            Ok(image) => Ok(Some(ImageFacts::of(image))),
            Err(EngineError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What content `image` means now (see [`crate::provider::Provider::resolve_image`]).
pub(super) async fn resolve(
    engine: &Engine,
    registry: &Registry,
    image: &ImageRef,
    pull: Option<PullPolicy>,
    ask: Ask,
) -> Observed<ImageValue> {
    if let Some(digest) = &image.digest {
        return Observed::Known(value(image, [digest.clone()].into()));
    }
    // Always asked: also for the content's other names, by which a container that runs it may be known.
    let local = match engine.image(&image.tagged()).await {
        Ok(local) => local,
        Err(error) => return Observed::Unknown(error.to_string()),
    };
    match (pull, local) {
        (Some(PullPolicy::Never | PullPolicy::IfNotPresent), Some(local)) => {
            Observed::Known(value(image, local.content))
        }
        (Some(PullPolicy::Never), None) => Observed::Unknown(format!(
            "the Engine does not have {} and `pull` is never; load or build it there, or write `pull: if-not-present`",
            image.familiar()
        )),
        // Built or imported here: no registry knows this content.
        (None, Some(local)) if !local.has_repo_digests => Observed::Known(value(image, local.content)),
        (None | Some(PullPolicy::Always | PullPolicy::IfNotPresent), local) => {
            from_registry(engine, registry, image, local, ask).await
        }
    }
}

async fn from_registry(
    engine: &Engine,
    registry: &Registry,
    image: &ImageRef,
    local: Option<ImageFacts>,
    ask: Ask,
) -> Observed<ImageValue> {
    let digest = match registry.digest(image, ask).await {
        Ok(digest) => digest,
        Err(why) => return Observed::Unknown(why),
    };
    let here = match local.filter(|local| local.content.contains(&digest)) {
        Some(local) => Some(local),
        None => match engine.image(&pinned(image, &digest)).await {
            Ok(here) => here,
            Err(error) => return Observed::Unknown(error.to_string()),
        },
    };
    let mut content = here.map(|here| here.content).unwrap_or_default();
    content.insert(digest);
    Observed::Known(value(image, content))
}

/// `registry/repository@digest`.
pub(super) fn pinned(image: &ImageRef, digest: &ContentDigest) -> String {
    format!("{}@{digest}", image.name())
}

fn value(image: &ImageRef, content: BTreeSet<ContentDigest>) -> ImageValue {
    ImageValue { reference: Some(image.clone()), content }
}
