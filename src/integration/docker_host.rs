//! A Docker Engine as an integration: what the docker provider finds when it tests its connection.

use async_trait::async_trait;

use crate::integration::{Examination, Integration};
use crate::provider::docker::DockerHost;

#[async_trait]
impl Integration for DockerHost {
    async fn test_connection(&self) -> Examination {
        let report = DockerHost::test_connection(self).await;
        Examination { findings: report.findings, missing_scopes: Vec::new() }
    }
}
