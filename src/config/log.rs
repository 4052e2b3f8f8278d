//! `[log]`: the form and the detail of the log on standard error.

use serde::Deserialize;

use super::section::Section;

/// `[log]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// How a line is written.
    pub format: LogFormat,
    /// The least important lines that are written.
    pub level: LogLevel,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// How important a log line is, most important first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Data was lost or the service cannot go on.
    Error,
    /// A fault on our side.
    Warn,
    /// Sessions, transfers and clients' faults.
    #[default]
    Info,
    /// Commands and store requests.
    Debug,
    /// Everything.
    Trace,
}

impl LogConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let config = Self {
            format: section.field("format", LogFormat::default()),
            level: section.field("level", LogLevel::default()),
        };
        section.finish();
        config
    }
}
