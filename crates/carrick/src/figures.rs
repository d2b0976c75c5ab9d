//! The node's figures, for its users.

use prometheus_client::{encoding::text, registry::Registry};

use crate::Node;

impl Node {
    /// Puts what the node counts into a registry of the user's, under the names that [`metrics`](Self::metrics) has. Counters
    /// there live on; what the control task alone knows is as it was at the last call of `metrics`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.core().metrics.register(registry);
    }

    /// What the node has counted so far, as OpenMetrics text, which Prometheus scrapes. `docs/metrics.md` explains each
    /// name. It has some hundred lines, however many peers there are.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = carrick::Node::spawn().await?;
    /// assert!(node.metrics().await.ends_with("# EOF\n"));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn metrics(&self) -> String {
        let mut registry = Registry::default();
        self.register_metrics(&mut registry);
        let mut text = String::new();
        // Writing to a string does not fail, and our labels can all be written.
        let _ = text::encode(&mut text, &registry);
        text
    }
}
