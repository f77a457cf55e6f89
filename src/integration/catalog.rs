//! The catalog: what is registered, changed, looked at and forgotten, each told as an event.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Notify;
use tracing::Instrument;

use crate::events::{EventType, Events, NewEvent};
use crate::forge::api::ForgeUser;
use crate::ids::IntegrationName;
use crate::integration::{Asker, Connect, Examination, TestReport, repository};
use crate::metrics::Metrics;
use crate::store::records::{HealthCheck, Integration as Registered, IntegrationHealth};
use crate::store::{Store, StoreError};

/// What a catalog is made of.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Whoever tells events.
    pub events: Events,
    /// Whoever counts.
    pub metrics: Metrics,
    /// How integrations are spoken to.
    pub connect: Arc<dyn Connect>,
    /// How long a look may take.
    pub limit: Duration,
}

/// The catalog; cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    parts: Parts,
    changed: Arc<Notify>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Catalog { .. }")
    }
}

impl Catalog {
    /// A catalog.
    pub fn new(parts: Parts) -> Self {
        Catalog { parts, changed: Arc::default() }
    }

    pub(super) fn store(&self) -> &Store {
        &self.parts.store
    }

    /// Resolves when something was registered or changed since the last time it was asked.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Registers an integration; it is looked at soon.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the name is taken.
    pub async fn add(&self, integration: Registered) -> Result<(), StoreError> {
        let event = told(EventType::IntegrationCreated, &integration, integration.created_at);
        self.tell(self.parts.store.add_integration(integration, event).await?);
        Ok(())
    }

    /// Replaces what is registered of an integration; it is looked at soon. `before` is what the change was made from.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none of that name; [`StoreError::Conflict`] where it was changed meanwhile.
    pub async fn update(&self, before: Registered, after: Registered) -> Result<(), StoreError> {
        let event = told(EventType::IntegrationUpdated, &after, after.updated_at);
        self.tell(self.parts.store.update_integration(before, after, event).await?);
        Ok(())
    }

    /// Forgets an integration.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] naming the projects that use it.
    pub async fn remove(&self, integration: &Registered, at: Timestamp) -> Result<(), StoreError> {
        let event = told(EventType::IntegrationRemoved, integration, at);
        self.tell(self.parts.store.remove_integration(&integration.name, event).await?);
        Ok(())
    }

    fn tell(&self, event: crate::events::Event) {
        self.parts.events.tell(&event);
        self.changed.notify_one();
    }

    /// Looks at an integration now, and notes how it is doing.
    ///
    /// # Errors
    /// A database that refuses, or an integration that was forgotten meanwhile. One that cannot be used is a report.
    pub async fn look(&self, integration: &Registered, actor: &str) -> Result<TestReport, StoreError> {
        let span = tracing::info_span!(
            "integration",
            integrationId = %integration.name,
            provider = integration.provider.word(),
            operation = "test_connection"
        );
        self.look_within(integration, actor).instrument(span).await
    }

    async fn look_within(&self, integration: &Registered, actor: &str) -> Result<TestReport, StoreError> {
        let repository = self.example(integration).await?;
        let asker = Asker { actor, repository: repository.as_deref() };
        let begun = Instant::now();
        let examination = match self.parts.connect.connect(integration, &asker) {
            Ok(connected) => tokio::time::timeout(self.parts.limit, connected.test_connection()).await,
            Err(why) => Ok(Examination::default().error(why, None)),
        };
        let took = begun.elapsed();
        let examination = examination.unwrap_or_else(|_| {
            let limit = self.parts.limit.as_secs();
            Examination::default().error(format!("it did not answer within {limit} s"), None)
        });
        let report = TestReport::of(examination, u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        self.parts.metrics.health_checked(integration.provider, report.status, took);
        let check = HealthCheck {
            health: report.status,
            reason: report.reason(),
            latency_ms: report.latency_ms,
            at: Timestamp::now(),
        };
        self.note(integration, check).await?;
        Ok(report)
    }

    /// The account of this name at a forge; `None` where there is none.
    ///
    /// # Errors
    /// A database that refuses; within, that the forge could not be asked.
    pub async fn find_account(
        &self,
        integration: &Registered,
        name: &str,
        actor: &str,
    ) -> Result<Result<Option<ForgeUser>, String>, StoreError> {
        let repository = self.example(integration).await?;
        let asker = Asker { actor, repository: repository.as_deref() };
        let connected = match self.parts.connect.connect(integration, &asker) {
            Ok(connected) => connected,
            Err(why) => return Ok(Err(why)),
        };
        Ok(match tokio::time::timeout(self.parts.limit, connected.find_account(name)).await {
            Ok(found) => found,
            Err(_) => Err(format!("it did not answer within {} s", self.parts.limit.as_secs())),
        })
    }

    /// A repository that is reported on through the integration, the first by its project's name.
    async fn example(&self, integration: &Registered) -> Result<Option<String>, StoreError> {
        for name in self.parts.store.integration_users(&integration.name).await? {
            if let Some(project) = self.parts.store.project(&name).await?
                && let Some(repository) = project
                    .repository
                    .or_else(|| repository::derived(integration.provider, &integration.endpoint, &project.url))
            {
                return Ok(Some(repository));
            }
        }
        Ok(None)
    }

    async fn note(&self, integration: &Registered, check: HealthCheck) -> Result<(), StoreError> {
        let (health, reason) = (check.health, check.reason.clone());
        let event = health_changed(integration, &check);
        match self.parts.store.put_integration_check(&integration.name, check, event).await? {
            Some(event) => {
                self.parts.events.tell(&event);
                match health {
                    IntegrationHealth::Healthy => tracing::info!(health = health.word(), "its health changed"),
                    IntegrationHealth::Degraded | IntegrationHealth::Unhealthy | IntegrationHealth::Unknown => {
                        tracing::warn!(health = health.word(), reason, "its health changed");
                    }
                }
            }
            None => tracing::debug!(health = health.word(), "looked at"),
        }
        Ok(())
    }

    /// An integration by its name.
    ///
    /// # Errors
    /// A database that refuses.
    pub async fn find(&self, name: &IntegrationName) -> Result<Option<Registered>, StoreError> {
        self.parts.store.integration(name).await
    }
}

fn subject(name: &IntegrationName) -> String {
    format!("integrations/{name}")
}

fn told(kind: EventType, integration: &Registered, at: Timestamp) -> NewEvent {
    let Registered { name, kind: of, provider, endpoint, owner, .. } = integration;
    let data = json!({"name": name, "type": of, "provider": provider, "endpoint": endpoint, "owner": owner});
    NewEvent { at, kind, subject: subject(name), data }
}

/// What is told of a change of health, once it is known what it was before.
fn health_changed(
    integration: &Registered,
    check: &HealthCheck,
) -> impl FnOnce(IntegrationHealth) -> NewEvent + Send + 'static {
    let (name, of, provider) = (integration.name.clone(), integration.kind, integration.provider);
    let HealthCheck { health, reason, latency_ms: _, at } = check.clone();
    move |before| NewEvent {
        at,
        kind: EventType::IntegrationHealthChanged,
        subject: subject(&name),
        data: json!({
            "name": name, "type": of, "provider": provider, "before": before, "health": health, "reason": reason
        }),
    }
}
