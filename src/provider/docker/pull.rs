//! Having the content that a plan names on the Engine: by digest, never by a tag that may move meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::{CreateImageOptionsBuilder, TagImageOptionsBuilder};
use futures_util::StreamExt;
use secrecy::ExposeSecret;

use super::DockerProvider;
use super::engine::{CHANGE, EngineError};
use super::facts::ImageFacts;
use super::image::pinned;
use crate::live::image::{ContentDigest, ImageRef, ImageValue};
use crate::provider::{Progress, StepError};

/// A pull may take as long as it likes, but not stand still for this long.
const STANDSTILL: Duration = Duration::from_secs(300);
/// How often progress is told.
const TELL: Duration = Duration::from_secs(1);

impl DockerProvider {
    /// The name by which the Engine makes a container of exactly this content, and the image.
    pub(super) async fn ensure_image(
        &self,
        wanted: &ImageValue,
        never_pull: bool,
        progress: &dyn Progress,
    ) -> Result<(String, ImageFacts), StepError> {
        if let Some(found) = self.present(wanted).await? {
            return Ok(found);
        }
        let Some(reference) = wanted.reference.as_ref().filter(|_| !never_pull) else {
            return Err(StepError::Refused(format!(
                "the Engine does not have the content of {wanted} that the plan names, and it is not to be pulled; load \
                 or build it there"
            )));
        };
        let mut refusal = format!("no digest of {} is known", reference.familiar());
        for digest in reference.digest.iter().chain(wanted.content.iter()) {
            match self.pull(reference, digest, progress).await {
                Ok(()) => {
                    self.engine.images.forget();
                    let found = self.engine.image(&pinned(reference, digest)).await?;
                    let image = found.ok_or_else(|| {
                        StepError::Refused(format!("{} was pulled, yet is not on the Engine", reference.familiar()))
                    })?;
                    self.name_it(reference, digest, progress).await?;
                    return Ok((reference.pinned(digest).to_string(), image));
                }
                // Of several digests some may be the Engine's own ids, which no registry knows.
                Err(EngineError::Refused(why) | EngineError::Missing(why)) => refusal = why,
                Err(error @ EngineError::Unreachable(_)) => return Err(error.into()),
            }
        }
        Err(StepError::Refused(format!("{} could not be pulled: {refusal}", reference.familiar())))
    }

    /// The content, where the Engine has it already.
    async fn present(&self, wanted: &ImageValue) -> Result<Option<(String, ImageFacts)>, StepError> {
        if let Some(reference) = &wanted.reference {
            for digest in reference.digest.iter().chain(wanted.content.iter()) {
                if let Some(image) = self.engine.image(&pinned(reference, digest)).await? {
                    return Ok(Some((reference.pinned(digest).to_string(), image)));
                }
            }
        }
        for digest in &wanted.content {
            if let Some(image) = self.engine.image(digest.as_str()).await? {
                let name = match &wanted.reference {
                    // The tag, for people, while it still means this content.
                    Some(reference) => match self.engine.image(&reference.tagged()).await? {
                        Some(tagged) if tagged.id == image.id => reference.tagged(),
                        _ => image.id.clone(),
                    },
                    None => image.id.clone(),
                };
                return Ok(Some((name, image)));
            }
        }
        Ok(None)
    }

    /// A pull by digest leaves no tag; where the tag is free it is set, as `pull: if-not-present` looks for it.
    async fn name_it(
        &self,
        reference: &ImageRef,
        digest: &ContentDigest,
        progress: &dyn Progress,
    ) -> Result<(), StepError> {
        let Some(tag) = &reference.tag else { return Ok(()) };
        if self.engine.image(&reference.tagged()).await?.is_some() {
            return Ok(());
        }
        let options = TagImageOptionsBuilder::default().repo(&reference.name()).tag(tag).build();
        let source = pinned(reference, digest);
        let tagged = self.engine.call(CHANGE, |docker| async move { docker.tag_image(&source, Some(options)).await });
        if let Err(why) = tagged.await {
            progress.line(&format!("{} was pulled, but could not be tagged: {why}", reference.familiar()));
        }
        Ok(())
    }

    async fn pull(
        &self,
        reference: &ImageRef,
        digest: &ContentDigest,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        let login = self.registry.login(&reference.registry).await.map_err(EngineError::Refused)?;
        let credentials = login.map(|login| DockerCredentials {
            username: Some(login.username),
            password: Some(login.password.expose_secret().to_owned()),
            serveraddress: Some(reference.registry.to_string()),
            ..DockerCredentials::default()
        });
        let options = CreateImageOptionsBuilder::default().from_image(&reference.name()).tag(digest.as_str()).build();
        let docker = self.engine.client().await?;
        let mut stream = std::pin::pin!(docker.create_image(Some(options), None, credentials));
        let mut told = Told::new(reference.familiar());
        progress.line(&format!("pulling {}", reference.familiar()));
        loop {
            match tokio::time::timeout(STANDSTILL, stream.next()).await {
                Err(_) => {
                    return Err(EngineError::Unreachable(format!(
                        "pulling {} stood still for {} s",
                        reference.familiar(),
                        STANDSTILL.as_secs()
                    )));
                }
                Ok(None) => break,
                Ok(Some(Err(error))) => return Err(self.engine.explain(error)),
                Ok(Some(Ok(info))) => {
                    if let Some(why) = info.error_detail.as_ref().and_then(|detail| detail.message.clone()) {
                        return Err(EngineError::Refused(super::engine::bounded(&why)));
                    }
                    if let Some(line) = told.note(&info) {
                        progress.line(&line);
                    }
                }
            }
        }
        progress.line(&format!("pulled {}", reference.familiar()));
        Ok(())
    }
}

/// A pull's layers, added up and told now and then.
struct Told {
    name: String,
    layers: BTreeMap<String, (i64, i64)>,
    last: Instant,
}

impl Told {
    fn new(name: String) -> Self {
        Told { name, layers: BTreeMap::new(), last: Instant::now() }
    }

    fn note(&mut self, info: &CreateImageInfo) -> Option<String> {
        let detail = info.progress_detail.as_ref()?;
        if info.status.as_deref() != Some("Downloading") {
            return None;
        }
        let total = detail.total.unwrap_or(0);
        self.layers.insert(info.id.clone()?, (detail.current.unwrap_or(0), total));
        if self.last.elapsed() < TELL {
            return None;
        }
        self.last = Instant::now();
        let (done, all) = self.layers.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
        let mega = |bytes: i64| bytes as f64 / 1e6;
        Some(format!("pulling {}: {:.1} MB of {:.1} MB", self.name, mega(done), mega(all)))
    }
}
