//! Every metric of Bucketport, declared in one table; `docs/metrics.md` has the same order.
//!
//! Label values are bounded: verbs come from the verb table, stores, certificates and users from the configuration,
//! the rest from the enums here. Counters exist from the start, so that a rate over one never misses its first event.

mod counted;
mod events;
mod forwarded;
mod labels;
mod limited;
mod listed;
mod reading;
mod session;
mod table;
mod users;
mod zero;

use std::path::Path;
use std::time::{Duration, Instant};

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

pub use counted::{ByteCount, Counted};
pub use labels::{
    Cleaned, Direction, EventOutcome, Forwarded, HandshakeResult, LoginResult, Rejection, Reloaded,
    SessionTls, StoreOperation, StoreOutcome, TlsConnection, Toward, TransferResult,
};
pub use limited::{Limited, Scope};
pub use reading::Reading;
pub use session::CountedSession;

use listed::Listed;
use table::Table;

/// Seconds from a command's line to its final reply.
const COMMAND_BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// Seconds of one transfer: from a thumbnail on a LAN to a backup over a slow line.
const TRANSFER_BUCKETS: &[f64] =
    &[0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];
/// Seconds of one call to a store, its retries included.
const STORE_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 180.0];

/// The table. One per process; shared by reference.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    users: Listed,
    ready: IntGauge,
    store_reachable: IntGaugeVec,
    last_reload_successful: IntGaugeVec,
    sessions: IntGaugeVec,
    sessions_limit: IntGauge,
    sessions_total: IntCounterVec,
    tls_handshakes: IntCounterVec,
    tls_unannounced_ends: IntCounter,
    tls_certificate_expiry: IntGaugeVec,
    logins: IntCounterVec,
    limited: IntCounterVec,
    transfers: IntCounterVec,
    transfer_bytes: IntCounterVec,
    transfer_seconds: HistogramVec,
    transfers_active: IntGaugeVec,
    user_sessions: IntGaugeVec,
    user_transfers: IntCounterVec,
    user_transfer_bytes: IntCounterVec,
    store_request_seconds: HistogramVec,
    unlisted_keys: IntCounterVec,
    cleaned: IntCounterVec,
    buffer_bytes: IntGauge,
    buffer_limit_bytes: IntGauge,
    passive_ports: IntGauge,
    passive_ports_waiting: IntGauge,
    forwarded_connections: IntGauge,
    forwarded_connections_total: IntCounterVec,
    forwarded_bytes: IntCounterVec,
    connections_rejected: IntCounterVec,
    events: IntCounterVec,
    events_queued: IntGaugeVec,
    events_oldest: IntGaugeVec,
    commands: IntCounterVec,
    command_seconds: HistogramVec,
}

impl Metrics {
    /// The table with a zero for every combination of `stores` and `verbs` that can occur.
    #[expect(clippy::too_many_lines, reason = "it is the table")]
    pub fn new<'a>(
        stores: impl IntoIterator<Item = &'a str>,
        verbs: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let table = Table(Registry::new());
        let build_info =
            table.gauges("bucketport_build_info", "Always 1; the label tells the version.", &["version"]);
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Self {
            ready: table.gauge("bucketport_ready", "Whether /readyz says so."),
            store_reachable: table.gauges(
                "bucketport_store_reachable",
                "Whether the store answered when it was last asked.",
                &["store"],
            ),
            last_reload_successful: table.gauges(
                "bucketport_last_reload_successful",
                "Whether what was last read is in force.",
                &["what"],
            ),
            sessions: table.gauges("bucketport_sessions", "Control connections open now.", &["tls"]),
            sessions_limit: table.gauge("bucketport_sessions_limit", "ftp.max_connections."),
            sessions_total: table.counters(
                "bucketport_sessions_total",
                "Control connections ended.",
                &["tls"],
            ),
            tls_handshakes: table.counters(
                "bucketport_tls_handshakes_total",
                "TLS handshakes.",
                &["connection", "result"],
            ),
            tls_unannounced_ends: table.counter(
                "bucketport_tls_unannounced_ends_total",
                "Uploads over TLS whose data ended without close_notify.",
            ),
            // Absent while there is no certificate: 0 would look expired.
            tls_certificate_expiry: table.gauges(
                "bucketport_tls_certificate_expiry_timestamp_seconds",
                "When each certificate expires, in seconds since 1970.",
                &["certificate"],
            ),
            logins: table.counters("bucketport_logins_total", "Login attempts.", &["result"]),
            limited: table.counters(
                "bucketport_limited_total",
                "What the limits of users have refused or slowed down.",
                &["limit", "scope"],
            ),
            transfers: table.counters(
                "bucketport_transfers_total",
                "File transfers ended.",
                &["direction", "result"],
            ),
            transfer_bytes: table.counters(
                "bucketport_transfer_bytes_total",
                "Bytes of files moved over data connections.",
                &["direction", "store"],
            ),
            transfer_seconds: table.histograms(
                "bucketport_transfer_seconds",
                "Duration of file transfers.",
                &["direction"],
                TRANSFER_BUCKETS,
            ),
            transfers_active: table.gauges(
                "bucketport_transfers_active",
                "File transfers running now.",
                &["direction"],
            ),
            user_sessions: table.gauges(
                "bucketport_user_sessions",
                "Sessions that are logged in now.",
                &["user"],
            ),
            user_transfers: table.counters(
                "bucketport_user_transfers_total",
                "File transfers ended.",
                &["user", "direction", "result"],
            ),
            user_transfer_bytes: table.counters(
                "bucketport_user_transfer_bytes_total",
                "Bytes of files moved over data connections.",
                &["user", "direction"],
            ),
            store_request_seconds: table.histograms(
                "bucketport_store_request_seconds",
                "Duration of calls to a store, retries included.",
                &["store", "operation", "outcome"],
                STORE_BUCKETS,
            ),
            unlisted_keys: table.counters(
                "bucketport_unlisted_keys_total",
                "Keys left out of listings because no client could name them.",
                &["store"],
            ),
            cleaned: table.counters(
                "bucketport_cleaned_total",
                "What a crash or a client had left in a store, and was removed.",
                &["store", "what"],
            ),
            buffer_bytes: table.gauge("bucketport_buffer_bytes", "Bytes of transfers held in memory now."),
            buffer_limit_bytes: table.gauge("bucketport_buffer_limit_bytes", "transfer.memory."),
            passive_ports: table.gauge("bucketport_passive_ports", "Passive ports listened on."),
            passive_ports_waiting: table.gauge(
                "bucketport_passive_ports_waiting",
                "Sessions that wait for a passive data connection now.",
            ),
            forwarded_connections: table.gauge(
                "bucketport_forwarded_connections",
                "Data connections of other replicas that are handed on now.",
            ),
            forwarded_connections_total: table.counters(
                "bucketport_forwarded_connections_total",
                "Data connections of other replicas that were handed on, or were to be.",
                &["result"],
            ),
            forwarded_bytes: table.counters(
                "bucketport_forwarded_bytes_total",
                "Bytes of data connections that were handed on.",
                &["to"],
            ),
            connections_rejected: table.counters(
                "bucketport_connections_rejected_total",
                "Connections turned away.",
                &["reason"],
            ),
            events: table.counters(
                "bucketport_events_total",
                "What became of events for a sink.",
                &["sink", "result"],
            ),
            events_queued: table.gauges(
                "bucketport_events_queued",
                "Events that wait for a sink now.",
                &["sink"],
            ),
            events_oldest: table.gauges(
                "bucketport_events_oldest_timestamp_seconds",
                "When the oldest event that waits for a sink was made, in seconds since 1970; 0 while none waits.",
                &["sink"],
            ),
            commands: table.counters("bucketport_commands_total", "Commands received.", &["command"]),
            command_seconds: table.histograms(
                "bucketport_command_seconds",
                "Time from a command to its final reply.",
                &["command"],
                COMMAND_BUCKETS,
            ),
            registry: table.0,
            users: Listed::default(),
        };
        metrics.start_at_zero(stores, verbs);
        metrics
    }

    /// Everything in Prometheus's text format: this table, libunftp's `ftp_*` and the `process_*` metrics.
    pub fn render(&self) -> String {
        let mut families = self.registry.gather();
        families.extend(prometheus::gather());
        // Encoding fails only for a family without a name or without samples, and `gather` prunes those.
        TextEncoder::new().encode_to_string(&families).unwrap_or_default()
    }

    /// States whether new sessions should come here.
    pub fn ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// States whether a store has answered.
    pub fn store_reachable(&self, store: &str, answers: bool) {
        self.store_reachable.with_label_values(&[store]).set(answers.into());
    }

    /// States whether what was read again is in force now; if not, the old is.
    pub fn reloaded(&self, what: Reloaded, in_force: bool) {
        self.last_reload_successful.with_label_values(&[what.label()]).set(in_force.into());
    }

    /// States how many control connections there may be at once.
    pub fn sessions_limit(&self, sessions: usize) {
        self.sessions_limit.set(i64::try_from(sessions).unwrap_or(i64::MAX));
    }

    /// Counts a session as open for as long as the guard lives, and as ended after that.
    pub fn session(&self, tls: SessionTls) -> CountedSession {
        CountedSession::new(self.sessions.clone(), self.sessions_total.clone(), tls)
    }

    /// Counts a TLS handshake.
    pub fn tls_handshake(&self, connection: TlsConnection, result: HandshakeResult) {
        self.tls_handshakes.with_label_values(&[connection.label(), result.label()]).inc();
    }

    /// Counts an upload over TLS whose data ended without `close_notify`.
    pub fn without_close_notify(&self) {
        self.tls_unannounced_ends.inc();
    }

    /// States when the certificate in this file of the configuration expires, in seconds since 1970.
    pub fn certificate_expires(&self, file: &Path, timestamp: i64) {
        self.tls_certificate_expiry.with_label_values(&[&file.to_string_lossy()]).set(timestamp);
    }

    /// Counts a login.
    pub fn login(&self, result: LoginResult) {
        self.logins.with_label_values(&[result.label()]).inc();
    }

    /// Counts a connection that was turned away.
    pub fn rejected(&self, reason: Rejection) {
        self.connections_rejected.with_label_values(&[reason.label()]).inc();
    }

    /// Counts a command and the time to its final reply.
    pub fn command(&self, verb: &str, took: Duration) {
        self.commands.with_label_values(&[verb]).inc();
        self.command_seconds.with_label_values(&[verb]).observe(took.as_secs_f64());
    }

    /// Counts a transfer as active for as long as the guard lives.
    pub fn transfer_active(&self, direction: Direction) -> Counted {
        Counted::new(self.transfers_active.with_label_values(&[direction.label()]))
    }

    /// Counts a transfer of `user` that ended.
    pub fn transfer_ended(&self, direction: Direction, user: &str, result: TransferResult, took: Duration) {
        self.user_transfer_ended(user, direction, result);
        self.transfers.with_label_values(&[direction.label(), result.label()]).inc();
        self.transfer_seconds.with_label_values(&[direction.label()]).observe(took.as_secs_f64());
    }

    /// Counts bytes of files of `user` that cross a data connection.
    pub fn transfer_bytes(&self, direction: Direction, store: &str, user: &str) -> ByteCount {
        let of_store = self.transfer_bytes.with_label_values(&[direction.label(), store]);
        ByteCount::new([of_store, self.user_transfer_bytes_of(user, direction)])
    }

    /// Counts a call to a store that began at `begun`.
    pub fn store_request(
        &self,
        store: &str,
        operation: StoreOperation,
        outcome: StoreOutcome,
        begun: Instant,
    ) {
        let labels = [store, operation.label(), outcome.label()];
        self.store_request_seconds.with_label_values(&labels).observe(begun.elapsed().as_secs_f64());
    }

    /// Counts keys that a listing leaves out.
    pub fn unlisted_keys(&self, store: &str, keys: usize) {
        self.unlisted_keys.with_label_values(&[store]).inc_by(keys as u64);
    }

    /// Counts what the janitor has removed from a store.
    pub fn cleaned(&self, store: &str, what: Cleaned, count: u64) {
        self.cleaned.with_label_values(&[store, what.label()]).inc_by(count);
    }

    /// States how many bytes of transfers are held, out of how many.
    pub fn buffers(&self, held: usize, limit: usize) {
        self.buffer_bytes.set(i64::try_from(held).unwrap_or(i64::MAX));
        self.buffer_limit_bytes.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    /// States the number of passive ports that are listened on.
    pub fn passive_ports(&self, ports: usize) {
        self.passive_ports.set(i64::try_from(ports).unwrap_or(i64::MAX));
    }

    /// Counts a session that waits on a passive port for as long as the guard lives.
    pub fn passive_waiting(&self) -> Counted {
        Counted::new(self.passive_ports_waiting.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_there_from_the_start() {
        let text = Metrics::new(["landing"], ["STOR", "other"]).render();
        for line in [
            "bucketport_build_info{version=",
            "bucketport_transfers_total{direction=\"append\",result=\"store_error\"} 0",
            "bucketport_transfer_bytes_total{direction=\"upload\",store=\"landing\"} 0",
            "bucketport_commands_total{command=\"STOR\"} 0",
            "bucketport_logins_total{result=\"locked_out\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_guard_gives_back_what_it_took() {
        let metrics = Metrics::new([], []);
        let mut session = metrics.session(SessionTls::None);
        assert!(metrics.render().contains("bucketport_sessions{tls=\"none\"} 1"));
        session.encrypted(SessionTls::Explicit);
        assert!(metrics.render().contains("bucketport_sessions{tls=\"none\"} 0"));
        assert!(metrics.render().contains("bucketport_sessions{tls=\"explicit\"} 1"));
        drop(session);
        assert!(metrics.render().contains("bucketport_sessions{tls=\"explicit\"} 0"));
        assert!(metrics.render().contains("bucketport_sessions_total{tls=\"explicit\"} 1"));
        assert!(metrics.render().contains("bucketport_sessions_total{tls=\"none\"} 0"));
    }
}
