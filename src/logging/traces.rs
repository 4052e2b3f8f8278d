//! Traces: spans on their way to a collector, by OTLP over HTTP. A queue of bounded size and a thread of its own stand between:
//! what does not fit is dropped, and nobody waits.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{ExporterBuildError, Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor};
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter};

use crate::config::TracesConfig;
use crate::seldom::Seldom;

/// How long a collector may take for one batch.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(5);
/// Spans that wait to be sent: some two MiB.
const QUEUE: usize = 4096;

/// Traces that are sent for as long as this lives.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to send spans.
    pub(super) fn start(config: &TracesConfig) -> Result<Self, ExporterBuildError> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(config.endpoint.as_str())
            .with_timeout(DEADLINE)
            .build()?;
        let batches = BatchSpanProcessor::builder(Watched { exporter, told: Seldom::default() })
            .with_batch_config(BatchConfigBuilder::default().with_max_queue_size(QUEUE).build())
            .build();
        let resource = Resource::builder()
            .with_service_name(env!("CARGO_PKG_NAME"))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        // A session is sampled as a whole: its span is the root of the others.
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio)));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(batches)
            .with_resource(resource)
            .with_sampler(sampler)
            .build();
        Ok(Self(provider))
    }

    /// Spans are made, and sent nowhere.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self(SdkTracerProvider::builder().build())
    }

    pub(super) fn tracer(&self) -> SdkTracer {
        self.0.tracer(env!("CARGO_PKG_NAME"))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // What is left then is lost, as is said above.
        let _ = self.0.shutdown_with_timeout(LAST_SPANS);
    }
}

/// Says in the log that the collector fails, now and then.
#[derive(Debug)]
struct Watched {
    exporter: opentelemetry_otlp::SpanExporter,
    told: Seldom,
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let exported = self.exporter.export(batch).await;
        if let Err(error) = &exported
            && let Some(others) = self.told.tell()
        {
            tracing::warn!(%error, spans, others, "traces not delivered, and dropped");
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
