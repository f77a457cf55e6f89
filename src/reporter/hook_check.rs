//! What was done about a webhook, and how one stands, as an operator is told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::forge::api::{Change, Webhook};
use crate::ids::ProjectName;
use crate::provider::{Finding, FindingLevel};
use crate::secret::AuthRef;
use crate::store::records::Project;

/// What was done to set a webhook up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSetUp {
    /// Where the forge delivers.
    pub url: String,
    /// The repository's name on the forge.
    pub repository: String,
    /// `created`, or `edited` where there was one with this URL.
    #[schema(value_type = String)]
    pub change: Change,
    /// Where the secret is that deliveries are signed with.
    pub secret: AuthRef,
}

/// How a webhook stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookState {
    /// It is there, and the forge delivers.
    Active,
    /// It is there, and the forge does not deliver.
    Inactive,
    /// It is not there.
    Missing,
    /// The forge did not say.
    Unknown,
}

/// The last delivery of a webhook, as its forge tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LastDelivery {
    /// When; absent where the forge does not say.
    pub at: Option<Timestamp>,
    /// Whether it was accepted.
    pub accepted: bool,
    /// What it met with, in the forge's words.
    pub detail: String,
}

/// What a check of a project's webhook found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectCheck {
    /// The project.
    pub project: ProjectName,
    /// How its webhook stands at the forge.
    pub state: WebhookState,
    /// Where it delivers, or should; absent where that is not known.
    pub url: Option<String>,
    /// Events that are needed and not sent, in the forge's words.
    pub missing_events: Vec<String>,
    /// The last delivery as the forge tells it.
    pub last_delivery: Option<LastDelivery>,
    /// When the daemon last heard by a delivery that something in the repository moved.
    pub heard_at: Option<Timestamp>,
    /// What was found, the most important first.
    pub findings: Vec<Finding>,
}

/// What looking at a webhook came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// The forge answered.
    At {
        /// Where the webhook should deliver.
        url: String,
        /// The webhook with that URL.
        hook: Option<Webhook>,
    },
    /// It could not be looked at.
    Not {
        /// Why.
        why: String,
    },
}

impl ProjectCheck {
    /// What is to be said of a project's webhook.
    pub fn of(project: &Project, looked: Looked, heard_at: Option<Timestamp>) -> Self {
        let repair = || Some(format!("trueup project set {} --webhook", project.name));
        let mut findings = Vec::new();
        let mut find = |level, message: String, help| findings.push(Finding { level, message, help });
        let none = ProjectCheck {
            project: project.name.clone(),
            state: WebhookState::Unknown,
            url: None,
            missing_events: Vec::new(),
            last_delivery: None,
            heard_at,
            findings: Vec::new(),
        };
        let mut check = match looked {
            Looked::Not { why } => {
                find(FindingLevel::Error, format!("the webhook cannot be looked at: {why}"), None);
                none
            }
            Looked::At { url, hook: None } => {
                find(FindingLevel::Error, format!("the forge has no webhook that delivers to {url}"), repair());
                ProjectCheck { state: WebhookState::Missing, url: Some(url), ..none }
            }
            Looked::At { url, hook: Some(Webhook { id: _, active, missing_events, last_delivery }) } => {
                let last = last_delivery.map(|last| LastDelivery {
                    at: last.at,
                    accepted: last.accepted,
                    detail: last.detail,
                });
                match active {
                    true => find(FindingLevel::Ok, format!("the webhook is there and active: {url}"), None),
                    false => find(FindingLevel::Error, format!("the webhook is switched off: {url}"), repair()),
                }
                if !missing_events.is_empty() {
                    let events = missing_events.join(", ");
                    find(FindingLevel::Warning, format!("events that it does not send: {events}"), repair());
                }
                match &last {
                    None => find(FindingLevel::Ok, "the forge tells of no delivery".to_owned(), None),
                    Some(last) => {
                        let at = last.at.map_or(String::new(), |at| format!(" at {}", at.strftime("%F %T UTC")));
                        let said = format!("the last delivery{at} met with: {}", last.detail);
                        let help = || Some("docs/webhooks.md lists what each answer means".to_owned());
                        match last.accepted {
                            true => find(FindingLevel::Ok, said, None),
                            false => find(FindingLevel::Warning, said, help()),
                        }
                    }
                }
                let state = if active { WebhookState::Active } else { WebhookState::Inactive };
                ProjectCheck { state, url: Some(url), missing_events, last_delivery: last, ..none }
            }
        };
        if project.webhook_secret.is_none() {
            let said = "no secret is registered, so the project's own route takes no delivery".to_owned();
            find(FindingLevel::Warning, said, repair());
        }
        match heard_at {
            Some(at) => {
                find(FindingLevel::Ok, format!("a delivery told of a move at {}", at.strftime("%F %T UTC")), None)
            }
            None => find(FindingLevel::Ok, "no delivery told of a move yet; until then it is polled".to_owned(), None),
        }
        check.findings = findings;
        check
    }

    /// Whether the webhook does what it is for.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|finding| finding.level != FindingLevel::Error)
    }
}
