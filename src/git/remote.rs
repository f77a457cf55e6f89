//! From what an operator registered to a remote that can be asked.

use secrecy::SecretString;

use crate::git::{Credential, InvalidUrl, Place, Remote, RemoteUrl, http};
use crate::secret::mask::Mask;
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

    /// The same with the user name that the credential goes with; mirrors are told apart by it, too.
    #[must_use]
    pub fn as_user(mut self, user: Option<&str>) -> Self {
        if let (Some(credential), Some(user)) = (&mut self.credential, user) {
            credential.id = format!("{user}@{}", credential.id);
            credential.username = Some(user.to_owned());
        }
        self
    }

    /// What must not be shown of what others say: the credential, also as HTTP carries it.
    pub(crate) fn mask(&self) -> Mask {
        let mut mask = Mask::default();
        if let Some(credential) = &self.credential {
            let basic = match self.url.place() {
                Place::Http(url) => Some(SecretString::from(http::basic(credential, url))),
                Place::Ssh(_) | Place::Local(_) => None,
            };
            mask.add(basic.into_iter().chain([credential.secret.clone()]));
        }
        mask
    }
}
