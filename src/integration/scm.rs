//! Forges as integrations: signed in to as they are registered, and asked what the credential lacks.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::forge::api::{Connection, ForgeUser, SharedForge};
use crate::forge::{ForgeAuth, ForgeError, ForgeKind, ForgeSettings, RepositoryPath, connect};
use crate::integration::settings::{ALLOWED_HOSTS, APP_ID, USERNAME};
use crate::integration::{Examination, Integration};
use crate::secret::Secrets;
use crate::store::records::Integration as Registered;

/// A registered forge.
pub(super) struct Scm {
    forge: SharedForge,
    repository: Option<RepositoryPath>,
}

impl Scm {
    /// The forge, asked in the name of `repository` where one is given.
    pub(super) fn connect(
        kind: ForgeKind,
        registered: &Registered,
        secrets: &Secrets,
        repository: Option<&str>,
    ) -> Result<Self, String> {
        let forge = forge(kind, registered, secrets)?;
        Ok(Scm { forge, repository: repository.and_then(|repository| repository.parse().ok()) })
    }
}

/// The forge of a registration, for whoever reports to it. Nothing is asked yet.
///
/// # Errors
/// No credentials, or some that the forge does not take.
pub(super) fn forge(kind: ForgeKind, registered: &Registered, secrets: &Secrets) -> Result<SharedForge, String> {
    let endpoint = registered.endpoint.parse().map_err(|_| "its endpoint is no URL; set it again".to_owned())?;
    let mut settings = ForgeSettings::new(kind, endpoint, auth(registered)?);
    settings.allowed_hosts = hosts(&registered.settings);
    connect(&settings, secrets).map_err(|error| error.to_string())
}

fn hosts(settings: &BTreeMap<String, String>) -> Vec<String> {
    let hosts = settings.get(ALLOWED_HOSTS).into_iter().flat_map(|hosts| hosts.split(','));
    hosts.map(|host| host.trim().to_owned()).collect()
}

fn auth(registered: &Registered) -> Result<ForgeAuth, String> {
    let Registered { name, auth, settings, .. } = registered;
    let auth = auth.clone().ok_or_else(|| {
        format!("it has no credentials: trueup integration set {name} --auth env://NAME or file:///PATH")
    })?;
    Ok(match (settings.get(APP_ID), settings.get(USERNAME)) {
        (Some(app_id), _) => ForgeAuth::App { app_id: app_id.clone(), private_key: auth },
        (None, Some(user)) => ForgeAuth::Basic { user: user.clone(), password: auth },
        (None, None) => ForgeAuth::Token(auth),
    })
}

#[async_trait]
impl Integration for Scm {
    async fn test_connection(&self) -> Examination {
        match self.forge.test_connection(self.repository.as_ref()).await {
            Ok(connection) => judge(connection, self.repository.as_ref()),
            Err(error) => Examination::default().error(error.to_string(), help(&error)),
        }
    }

    async fn find_account(&self, name: &str) -> Result<Option<ForgeUser>, String> {
        self.forge.find_user(self.repository.as_ref(), name).await.map_err(|error| error.to_string())
    }
}

fn judge(connection: Connection, repository: Option<&RepositoryPath>) -> Examination {
    let Connection { account, missing, missing_optional } = connection;
    let place = repository.map_or(String::new(), |repository| format!(" (looked at with {repository})"));
    let mut found = Examination::default().ok(format!("signed in as {account}{place}"));
    if !missing_optional.is_empty() {
        // Without them everything but what they are for works: a remark, no degradation.
        let lacking = missing_optional.join(", ");
        found =
            found.ok(format!("not granted, and needed only for drift issues and for setting webhooks up: {lacking}"));
    }
    found.missing_scopes = missing;
    found
}

fn help(error: &ForgeError) -> Option<&'static str> {
    match error {
        ForgeError::Unauthorized { .. } | ForgeError::Credential { .. } => {
            Some("look at what the auth reference points to, in the daemon's environment or on its machine")
        }
        ForgeError::Forbidden { .. } | ForgeError::NotFound { .. } => {
            Some("look at which repositories the token or App may see")
        }
        ForgeError::Transient { .. }
        | ForgeError::Rejected { .. }
        | ForgeError::Guarded { .. }
        | ForgeError::Unsupported { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::forge::api::Connection;
    use crate::integration::TestReport;
    use crate::store::records::IntegrationHealth;

    #[test]
    fn what_is_needed_degrades_and_what_is_optional_is_said() {
        let connection = |missing: &[&str], optional: &[&str]| Connection {
            account: "trueup[bot]".into(),
            missing: missing.iter().map(|scope| (*scope).to_owned()).collect(),
            missing_optional: optional.iter().map(|scope| (*scope).to_owned()).collect(),
        };
        let report = TestReport::of(judge(connection(&["checks:write"], &[]), None), 0);
        assert_eq!(
            (report.status, &report.missing_scopes[..]),
            (IntegrationHealth::Degraded, &["checks:write".into()][..])
        );
        let report = TestReport::of(judge(connection(&[], &["issues:write"]), None), 0);
        assert_eq!(report.status, IntegrationHealth::Healthy);
        assert!(report.findings.iter().any(|finding| finding.message.contains("issues:write")), "{report:?}");
    }
}
