//! The log: lines on standard error, as text for people or as JSON for collectors. And traces, where they are asked for.

mod traces;

use std::ffi::OsStr;
use std::io::{IsTerminal, stderr};

use anyhow::Context as _;
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{Targets, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;

pub(crate) use traces::Traces;

use crate::config::{LogConfig, LogFormat, LogLevel, TracesConfig};
use crate::spans;

/// Sends this process's log to standard error, and its traces where `traces` says, for as long as what is returned lives.
/// Only the first call in a process counts.
pub(crate) fn init(config: LogConfig, traces: Option<&TracesConfig>) -> anyhow::Result<Option<Traces>> {
    let traces = traces.map(Traces::start).transpose().context("cannot send traces")?;
    let colours = Colours::wanted(stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
    // An error means that a log is installed already, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber(config, traces.as_ref(), colours, stderr));
    Ok(traces)
}

/// Whether levels are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colours {
    Yes,
    No,
}

impl Colours {
    /// On a terminal, unless `no_color` has something in it, whatever that is (no-color.org).
    fn wanted(is_terminal: bool, no_color: Option<&OsStr>) -> Self {
        if is_terminal && no_color.is_none_or(OsStr::is_empty) { Self::Yes } else { Self::No }
    }
}

fn subscriber<W>(
    config: LogConfig,
    traces: Option<&Traces>,
    colours: Colours,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // The spans of traces would stand in every line, and lines of the log in the traces.
    let is_ours = |about: &Metadata<'_>| {
        about.is_span()
            && (about.target() == spans::TARGET || about.target().starts_with(env!("CARGO_PKG_NAME")))
    };
    let traces = traces.map(|traces| {
        let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer());
        let layer =
            layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_level(false);
        layer.with_filter(filter_fn(is_ours)).boxed()
    });
    let lines = fmt::layer().with_writer(writer).with_ansi(colours == Colours::Yes);
    let lines = match config.format {
        LogFormat::Text => lines.boxed(),
        // The session's span carries its id, peer and user; the list of all spans would repeat them.
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
        }
    };
    // Only layers that are there: beside one that is `None` every span is made, whatever the others' filters say.
    let layers: Vec<_> =
        traces.into_iter().chain([lines.with_filter(filter(config.level)).boxed()]).collect();
    Box::new(tracing_subscriber::registry().with(layers))
}

/// The level is for our own lines. Libraries only warn, and libunftp says nothing at all: its spans format
/// whole sessions at level info, and what it would log is logged by our edge and storage already.
fn filter(level: LogLevel) -> Targets {
    let level = LevelFilter::from(level);
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("bucketport", level)
        .with_target("libunftp", LevelFilter::OFF)
        .with_target("unftp_core", LevelFilter::OFF)
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing::{Instrument, Level};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, work: impl FnOnce()) -> String {
        logged_with(None, format, work)
    }

    fn logged_with(traces: Option<&Traces>, format: LogFormat, work: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let config = LogConfig { format, level: LogLevel::Info };
        let subscriber = subscriber(config, traces, Colours::No, move || writer.clone());
        tracing::subscriber::with_default(subscriber, work);
        let bytes = written.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("text")
    }

    fn log_in_a_session() {
        let span = tracing::info_span!("session", id = 7, user = "acme");
        let _in_span = span.enter();
        tracing::info!(bytes = 42, "stored");
        tracing::debug!("hidden");
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        for (is_terminal, no_color, colours) in [
            (true, None, Colours::Yes),
            (true, Some(""), Colours::Yes),
            (true, Some("1"), Colours::No),
            (true, Some("0"), Colours::No),
            (false, None, Colours::No),
        ] {
            let wanted = Colours::wanted(is_terminal, no_color.map(OsStr::new));
            assert_eq!(wanted, colours, "{is_terminal} {no_color:?}");
        }
    }

    #[test]
    fn text_is_one_line_with_the_session() {
        let text = logged(LogFormat::Text, log_in_a_session);
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in ["INFO", "stored", "bytes=42", "id=7", "user=\"acme\""] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn json_is_one_flat_object_with_the_session() {
        let text = logged(LogFormat::Json, log_in_a_session);
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in [
            "\"level\":\"INFO\"",
            "\"message\":\"stored\"",
            "\"bytes\":42",
            "\"span\":{\"id\":7,\"user\":\"acme\"",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn without_traces_their_spans_are_never_made() {
        logged(LogFormat::Text, || {
            let made = [spans::command("NOOP"), spans::store_request("landing", "put")];
            assert!(made.iter().all(tracing::Span::is_disabled));
            assert!(!tracing::info_span!("session").is_disabled());
        });
    }

    #[test]
    fn a_line_of_another_task_has_its_session_with_traces_and_without() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for traces in [None, Some(Traces::nowhere())] {
            let text = logged_with(traces.as_ref(), LogFormat::Text, || {
                let command = async {
                    assert_eq!(spans::command("STOR").is_disabled(), traces.is_none());
                    let task = async { tracing::info!("kept") };
                    runtime.spawn(spans::carried(task)).await.expect("no panic");
                };
                let command = command.instrument(spans::command("STOR"));
                runtime.block_on(spans::in_session(tracing::info_span!("session", id = 7), command));
            });
            assert!(text.contains("session{id=7}: bucketport"), "{text}");
            assert!(!text.contains("STOR"), "{text}");
        }
    }

    #[test]
    fn libraries_only_warn_and_libunftp_is_silent() {
        let filter = filter(LogLevel::Debug);
        assert!(filter.would_enable("bucketport::edge", &Level::DEBUG));
        assert!(!filter.would_enable("bucketport::edge", &Level::TRACE));
        assert!(filter.would_enable("object_store", &Level::WARN));
        assert!(!filter.would_enable("object_store", &Level::INFO));
        assert!(!filter.would_enable("libunftp::server", &Level::ERROR));
    }

    #[test]
    fn a_level_of_error_silences_the_libraries_warnings_too() {
        assert!(!filter(LogLevel::Error).would_enable("object_store", &Level::WARN));
    }
}
