//! Every combination of labels that can occur, from the start, so that a rate over a counter never misses its first event.

use super::{
    Cleaned, Direction, HandshakeResult, LoginResult, Metrics, Rejection, Reloaded, SessionTls,
    StoreOperation, StoreOutcome, TlsConnection, TransferResult,
};

impl Metrics {
    pub(super) fn start_at_zero<'a>(
        &self,
        stores: impl IntoIterator<Item = &'a str>,
        verbs: impl IntoIterator<Item = &'static str>,
    ) {
        for what in Reloaded::ALL {
            self.last_reload_successful.with_label_values(&[what.label()]).set(1);
        }
        for tls in SessionTls::ALL {
            self.sessions.with_label_values(&[tls.label()]);
            self.sessions_total.with_label_values(&[tls.label()]);
        }
        for connection in TlsConnection::ALL {
            for result in HandshakeResult::ALL {
                self.tls_handshakes.with_label_values(&[connection.label(), result.label()]);
            }
        }
        for result in LoginResult::ALL {
            self.logins.with_label_values(&[result.label()]);
        }
        self.start_limited_at_zero();
        for reason in Rejection::ALL {
            self.connections_rejected.with_label_values(&[reason.label()]);
        }
        self.start_forwarded_at_zero();
        for direction in Direction::ALL {
            self.transfers_active.with_label_values(&[direction.label()]);
            self.transfer_seconds.with_label_values(&[direction.label()]);
            for result in TransferResult::ALL {
                self.transfers.with_label_values(&[direction.label(), result.label()]);
            }
        }
        for store in stores {
            self.store_reachable.with_label_values(&[store]);
            self.unlisted_keys.with_label_values(&[store]);
            for direction in Direction::ALL {
                self.transfer_bytes.with_label_values(&[direction.label(), store]);
            }
            for what in Cleaned::ALL {
                self.cleaned.with_label_values(&[store, what.label()]);
            }
            for operation in StoreOperation::ALL {
                self.store_request_seconds.with_label_values(&[
                    store,
                    operation.label(),
                    StoreOutcome::Ok.label(),
                ]);
            }
        }
        for verb in verbs {
            self.commands.with_label_values(&[verb]);
            self.command_seconds.with_label_values(&[verb]);
        }
        self.users_start_at_zero();
    }
}
