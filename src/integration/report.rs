//! What looking at an integration found, and what that says about its health. Pure.

use serde::{Deserialize, Serialize};

use crate::provider::{Finding, FindingLevel};
use crate::store::records::IntegrationHealth;

/// What a provider found when it looked at an integration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examination {
    /// What was found, the most important first.
    pub findings: Vec<Finding>,
    /// Permissions that the credentials lack, by the provider's own names.
    pub missing_scopes: Vec<String>,
}

impl Examination {
    /// A finding that all is as it should be.
    #[must_use]
    pub fn ok(mut self, message: impl Into<String>) -> Self {
        self.findings.push(Finding { level: FindingLevel::Ok, message: message.into(), help: None });
        self
    }

    /// A finding that something is missing or wrong, and what to do.
    #[must_use]
    pub fn warning(mut self, message: impl Into<String>, help: impl Into<String>) -> Self {
        self.findings.push(Finding { level: FindingLevel::Warning, message: message.into(), help: Some(help.into()) });
        self
    }

    /// A finding that makes it unusable, and what to do.
    #[must_use]
    pub fn error(mut self, message: impl Into<String>, help: Option<&str>) -> Self {
        let help = help.map(str::to_owned);
        self.findings.push(Finding { level: FindingLevel::Error, message: message.into(), help });
        self
    }
}

/// What a test of an integration's connection found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestReport {
    /// Whether it can be used: `healthy`, `degraded` (it can, and something is missing or wrong) or `unhealthy`.
    pub status: IntegrationHealth,
    /// How long it took to find out, in milliseconds.
    pub latency_ms: u64,
    /// What was found, the most important first.
    pub findings: Vec<Finding>,
    /// Permissions that the credentials lack, by the provider's own names.
    pub missing_scopes: Vec<String>,
}

impl TestReport {
    /// The report of an examination: one error makes it unhealthy, one warning or a missing permission degraded.
    pub fn of(examination: Examination, latency_ms: u64) -> Self {
        let Examination { findings, missing_scopes } = examination;
        let has = |level| findings.iter().any(|finding| finding.level == level);
        let status = if has(FindingLevel::Error) {
            IntegrationHealth::Unhealthy
        } else if has(FindingLevel::Warning) || !missing_scopes.is_empty() {
            IntegrationHealth::Degraded
        } else {
            IntegrationHealth::Healthy
        };
        TestReport { status, latency_ms, findings, missing_scopes }
    }

    /// Why it is not healthy: the first thing that is wrong; `None` where nothing is.
    pub fn reason(&self) -> Option<String> {
        let at = |level| self.findings.iter().find(|finding| finding.level == level).map(|found| found.message.clone());
        let missing = || {
            (!self.missing_scopes.is_empty())
                .then(|| format!("permissions are missing: {}", self.missing_scopes.join(", ")))
        };
        at(FindingLevel::Error).or_else(|| at(FindingLevel::Warning)).or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::{Examination, TestReport};
    use crate::store::records::IntegrationHealth;

    #[test]
    fn the_worst_finding_is_the_status_and_its_reason() {
        let good = TestReport::of(Examination::default().ok("it answers"), 3);
        assert_eq!((good.status, good.reason(), good.latency_ms), (IntegrationHealth::Healthy, None, 3));
        let scopes = vec!["checks:write".to_owned(), "statuses:write".to_owned()];
        let lacking = TestReport::of(Examination { missing_scopes: scopes, ..Examination::default() }, 0);
        assert_eq!(lacking.status, IntegrationHealth::Degraded);
        assert_eq!(lacking.reason().as_deref(), Some("permissions are missing: checks:write, statuses:write"));
        let warned = Examination::default().ok("it answers").warning("old", "update it");
        assert_eq!(TestReport::of(warned.clone(), 0).reason().as_deref(), Some("old"));
        let broken = TestReport::of(warned.error("it refuses", Some("log in")), 0);
        assert_eq!((broken.status, broken.reason()), (IntegrationHealth::Unhealthy, Some("it refuses".into())));
    }
}
