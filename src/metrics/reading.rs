//! What the gauges say now, for those who look on.

use prometheus::core::Collector;

use super::Metrics;

/// What the gauges say now.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the gauges of the table with these names")]
pub struct Reading {
    pub passive_ports: i64,
    pub passive_ports_waiting: i64,
    pub buffer_bytes: i64,
    pub buffer_limit_bytes: i64,
    pub forwarded_connections: i64,
    /// When the certificate in each file expires, in seconds since 1970.
    pub certificates: Vec<(String, i64)>,
}

impl Metrics {
    /// What the gauges say now.
    pub fn read(&self) -> Reading {
        Reading {
            passive_ports: self.passive_ports.get(),
            passive_ports_waiting: self.passive_ports_waiting.get(),
            buffer_bytes: self.buffer_bytes.get(),
            buffer_limit_bytes: self.buffer_limit_bytes.get(),
            forwarded_connections: self.forwarded_connections.get(),
            certificates: self.certificates(),
        }
    }

    fn certificates(&self) -> Vec<(String, i64)> {
        let families = self.tls_certificate_expiry.collect();
        let gauges = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let certificate = |metric: &prometheus::proto::Metric| {
            let file = metric.get_label().first()?.value().to_owned();
            #[expect(clippy::cast_possible_truncation, reason = "it was a whole number")]
            Some((file, metric.get_gauge().get_value() as i64))
        };
        let mut certificates: Vec<_> = gauges.filter_map(certificate).collect();
        certificates.sort();
        certificates
    }
}
