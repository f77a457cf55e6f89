//! From what an operator registered to a remote that can be asked.

use crate::git::{Credential, InvalidUrl, Remote, RemoteUrl};
use crate::secret::{AuthRef, SecretError, Secrets};

/// Why a registered repository cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Its URL is not usable.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// Its credential cannot be resolved.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl Remote {
    /// The remote at `url`, its credential resolved for `purpose` on behalf of `actor`.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn open(
        url: &str,
        auth: Option<&AuthRef>,
        secrets: &Secrets,
        purpose: &str,
        actor: &str,
    ) -> Result<Self, RemoteError> {
        let url = RemoteUrl::parse(url)?;
        let credential = match auth {
            None => None,
            Some(reference) => {
                let secret = secrets.resolve(reference, purpose, actor).await?;
                Some(Credential { id: reference.to_string(), username: None, secret })
            }
        };
        Ok(Remote { url, credential })
    }
}
