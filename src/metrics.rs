//! What is counted and timed, for Prometheus. Every metric is one method here, and every label is the word of an enum: no
//! free text, no name that an outsider chose, so that the number of series is bounded.
//!
//! Knows what is measured and how it is written; what happened is its callers' to say.

use std::sync::Arc;
use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

use crate::forge::ForgeKind;
use crate::integration::kind::IntegrationProvider;
use crate::store::records::IntegrationHealth;

/// Bounds of the buckets for what takes a network's time, in seconds.
const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

const HEALTH_CHECK: &str = "integrations_health_check_total";
const TEST_CONNECTION: &str = "integrations_test_connection_duration_seconds";
const ANNOTATION: &str = "scm_annotation_total";
const ANNOTATION_SECONDS: &str = "scm_annotation_duration_seconds";
const DELIVERIES: &str = "deliveries_total";
const INBOX_DEPTH: &str = "inbox_depth";
const INBOX_AGE: &str = "inbox_oldest_age_seconds";
const OUTBOX_DEPTH: &str = "outbox_depth";
const OUTBOX_AGE: &str = "outbox_oldest_age_seconds";
const PUSH_TO_COMMENT: &str = "push_to_comment_seconds";
const NOTIFICATIONS: &str = "notifications_total";

/// Every metric's name; docs/operations.md is held to this list.
pub const NAMES: [&str; 11] = [
    HEALTH_CHECK,
    TEST_CONNECTION,
    ANNOTATION,
    ANNOTATION_SECONDS,
    DELIVERIES,
    INBOX_DEPTH,
    INBOX_AGE,
    OUTBOX_DEPTH,
    OUTBOX_AGE,
    PUSH_TO_COMMENT,
    NOTIFICATIONS,
];

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// The label's word.
            pub fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }
    };
}

label! {
    /// What became of a webhook delivery.
    DeliveryOutcome {
        /// Taken into the inbox.
        Accepted = "accepted",
        /// Had been there before.
        Duplicate = "duplicate",
        /// Its signature, or its project, is not known here.
        Refused = "refused",
        /// Larger than what is taken.
        TooLarge = "too_large",
        /// There was no room.
        Full = "full",
        /// It was understood and acted on.
        Processed = "processed",
        /// It could not be understood.
        SetAside = "set_aside",
    }
}

label! {
    /// What is written on a forge.
    AnnotationOperation {
        /// A comment on a pull request.
        Comment = "comment",
        /// A commit status.
        Status = "status",
        /// A check run.
        CheckRun = "check_run",
        /// A discussion on a line.
        Discussion = "discussion",
        /// An issue.
        Issue = "issue",
        /// A webhook's registration.
        Webhook = "webhook",
    }
}

label! {
    /// How an attempt to tell someone ended.
    AttemptStatus {
        /// It is there.
        Success = "success",
        /// Not yet; it is tried again.
        Transient = "transient",
        /// Never; it is not tried again.
        Permanent = "permanent",
        /// Not tried, as the daemon is offline.
        SkippedOffline = "skipped_offline",
    }
}

/// Counts and times; cheap to clone, and each clone counts into the same.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics { .. }")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut builder = PrometheusBuilder::new();
        for name in [TEST_CONNECTION, ANNOTATION_SECONDS, PUSH_TO_COMMENT] {
            let matcher = Matcher::Full(name.to_owned());
            builder = builder.set_buckets_for_metric(matcher, &SECONDS).expect("there are buckets");
        }
        let metrics = Metrics { recorder: Arc::new(builder.build_recorder()) };
        metrics.record(describe);
        metrics
    }
}

fn describe() {
    describe_counter!(HEALTH_CHECK, "Looks at integrations, by what was found.");
    describe_histogram!(TEST_CONNECTION, Unit::Seconds, "How long looking at an integration took.");
    describe_counter!(ANNOTATION, "Attempts to write on a forge, by how they ended.");
    describe_histogram!(ANNOTATION_SECONDS, Unit::Seconds, "How long an attempt to write on a forge took.");
    describe_counter!(DELIVERIES, "Webhook deliveries, by what became of them.");
    describe_gauge!(INBOX_DEPTH, "Webhook deliveries that wait to be worked on.");
    describe_gauge!(INBOX_AGE, Unit::Seconds, "How long the oldest of them has waited.");
    describe_gauge!(OUTBOX_DEPTH, "Reports that wait to be posted.");
    describe_gauge!(OUTBOX_AGE, Unit::Seconds, "How long the oldest of them has waited.");
    describe_histogram!(PUSH_TO_COMMENT, Unit::Seconds, "From a push's delivery to its posted comment.");
    describe_counter!(NOTIFICATIONS, "Attempts to deliver a notification, by how they ended.");
}

impl Metrics {
    fn record(&self, what: impl FnOnce()) {
        with_local_recorder(&*self.recorder, what);
    }

    /// An integration was looked at.
    pub fn health_checked(&self, provider: IntegrationProvider, found: IntegrationHealth, took: Duration) {
        self.record(|| {
            counter!(HEALTH_CHECK, "provider" => provider.word(), "status" => found.word()).increment(1);
            histogram!(TEST_CONNECTION, "provider" => provider.word()).record(took);
        });
    }

    /// Something was written on a forge, or was tried to.
    pub fn annotated(&self, forge: ForgeKind, operation: AnnotationOperation, status: AttemptStatus, took: Duration) {
        let (forge, operation) = (forge.word(), operation.word());
        self.record(|| {
            counter!(ANNOTATION, "provider" => forge, "operation" => operation, "status" => status.word()).increment(1);
            histogram!(ANNOTATION_SECONDS, "provider" => forge, "operation" => operation).record(took);
        });
    }

    /// A webhook delivery came, or was worked on.
    pub fn delivered(&self, forge: ForgeKind, outcome: DeliveryOutcome) {
        self.record(|| counter!(DELIVERIES, "forge" => forge.word(), "outcome" => outcome.word()).increment(1));
    }

    /// How many deliveries wait, and how long the oldest has.
    pub fn inbox(&self, depth: u64, oldest: Duration) {
        self.record(|| {
            gauge!(INBOX_DEPTH).set(depth as f64);
            gauge!(INBOX_AGE).set(oldest.as_secs_f64());
        });
    }

    /// How many reports wait, and how long the oldest has.
    pub fn outbox(&self, depth: u64, oldest: Duration) {
        self.record(|| {
            gauge!(OUTBOX_DEPTH).set(depth as f64);
            gauge!(OUTBOX_AGE).set(oldest.as_secs_f64());
        });
    }

    /// A push's comment was posted, so long after its delivery.
    pub fn commented(&self, after: Duration) {
        self.record(|| histogram!(PUSH_TO_COMMENT).record(after));
    }

    /// A notification was delivered, or was tried to.
    pub fn notified(&self, status: AttemptStatus) {
        self.record(|| counter!(NOTIFICATIONS, "status" => status.word()).increment(1));
    }

    /// All of it, in Prometheus's text format (version 0.0.4).
    pub fn render(&self) -> String {
        self.recorder.handle().render()
    }

    /// Sorts what was timed into its buckets. Called now and then, so that what nobody reads does not pile up.
    pub fn settle(&self) {
        self.recorder.handle().run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AnnotationOperation, AttemptStatus, DeliveryOutcome, Metrics, NAMES};
    use crate::forge::ForgeKind;
    use crate::integration::kind::IntegrationProvider;
    use crate::store::records::IntegrationHealth;

    #[test]
    fn everything_counted_is_rendered_under_its_name_and_labels() {
        let metrics = Metrics::default();
        let took = Duration::from_millis(30);
        metrics.health_checked(IntegrationProvider::Harbor, IntegrationHealth::Degraded, took);
        metrics.annotated(ForgeKind::Github, AnnotationOperation::CheckRun, AttemptStatus::Transient, took);
        metrics.delivered(ForgeKind::BitbucketServer, DeliveryOutcome::Accepted);
        metrics.delivered(ForgeKind::BitbucketServer, DeliveryOutcome::Accepted);
        metrics.inbox(7, Duration::from_secs(3));
        metrics.outbox(2, Duration::from_secs(9));
        metrics.commented(took);
        metrics.notified(AttemptStatus::Success);
        metrics.settle();
        let text = metrics.render();
        for line in [
            "integrations_health_check_total{provider=\"harbor\",status=\"degraded\"} 1",
            "integrations_test_connection_duration_seconds_bucket{provider=\"harbor\",le=\"0.025\"} 0",
            "integrations_test_connection_duration_seconds_bucket{provider=\"harbor\",le=\"0.05\"} 1",
            "scm_annotation_total{provider=\"github\",operation=\"check_run\",status=\"transient\"} 1",
            "scm_annotation_duration_seconds_count{provider=\"github\",operation=\"check_run\"} 1",
            "deliveries_total{forge=\"bitbucket-server\",outcome=\"accepted\"} 2",
            "inbox_depth 7",
            "inbox_oldest_age_seconds 3",
            "outbox_depth 2",
            "outbox_oldest_age_seconds 9",
            "push_to_comment_seconds_count 1",
            "notifications_total{status=\"success\"} 1",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        for name in NAMES {
            assert!(text.contains(&format!("# TYPE {name} ")), "{name}\n{text}");
        }
    }

    #[test]
    fn every_metric_is_documented() {
        let docs = include_str!("../docs/operations.md");
        for name in NAMES {
            assert!(docs.contains(&format!("| `{name}")), "docs/operations.md says nothing of {name}");
        }
    }
}
