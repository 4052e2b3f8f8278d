//! A report as tables for a terminal. What clients chose cannot move its cursor.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, Table, Width};

use crate::http::{Readiness, Report, bytes, rough, seconds};

/// A cell with more is cut.
const WIDEST: u16 = 40;
/// How many of the last transfers and failed logins are shown; the JSON has all.
const LAST: usize = 10;

/// `report`, each table under its title.
pub(super) fn render(report: &Report) -> String {
    let Report { sessions, transfers, .. } = report;
    let mut text = numbers(report);
    let running = transfers.running.iter().map(|transfer| {
        vec![
            transfer.session.to_string(),
            shown(transfer.user.as_deref()),
            transfer.direction.clone(),
            shown(transfer.path.as_deref()),
            bytes(transfer.bytes),
            transfer.size.map_or_else(|| "-".to_owned(), bytes),
            format!("{}/s", bytes(transfer.bytes_per_second)),
            rough(transfer.seconds),
        ]
    });
    section(
        &mut text,
        "Running transfers",
        &["Session", "User", "Direction", "File", "Moved", "Size", "Speed", "For"],
        running,
    );
    let open = sessions.list.iter().map(|session| {
        vec![
            session.id.to_string(),
            shown(session.user.as_deref()),
            shown(session.address.as_deref()),
            session.command.clone().unwrap_or_else(|| "idle".to_owned()),
            seconds(session.seconds),
        ]
    });
    section(&mut text, "Sessions", &["Session", "User", "Address", "Command", "For"], open);
    let last = transfers.last.iter().take(LAST).map(|transfer| {
        vec![
            transfer.ended.format("%H:%M:%S").to_string(),
            shown(transfer.user.as_deref()),
            transfer.direction.clone(),
            shown(transfer.path.as_deref()),
            transfer.result.clone(),
            bytes(transfer.bytes),
            rough(transfer.seconds),
        ]
    });
    section(
        &mut text,
        "Last transfers",
        &["Ended (UTC)", "User", "Direction", "File", "Result", "Size", "Took"],
        last,
    );
    let stores = report.stores.iter().map(|store| {
        let state = match store.reachable {
            Some(true) => "answers".to_owned(),
            Some(false) => format!("unreachable {}", store.error.as_deref().unwrap_or_default()),
            None => "not asked yet".to_owned(),
        };
        vec![store.name.clone(), state]
    });
    section(&mut text, "Stores", &["Store", "State"], stores);
    let queues = report.event_queues.iter().map(|queue| {
        let oldest = queue.oldest.map(|oldest| oldest.format("%Y-%m-%d %H:%M:%S").to_string());
        vec![
            queue.sink.clone(),
            queue.waiting.to_string(),
            oldest.unwrap_or_else(|| "-".to_owned()),
            queue.at_stake.to_string(),
        ]
    });
    section(&mut text, "Event queues", &["Sink", "Waiting", "Oldest (UTC)", "In memory alone"], queues);
    let logins = report.failed_logins.iter().take(LAST).map(|login| {
        vec![
            login.time.format("%H:%M:%S").to_string(),
            shown(login.name.as_deref()),
            shown(login.address.as_deref()),
            login.reason.clone(),
        ]
    });
    section(&mut text, "Failed logins", &["Time (UTC)", "Name", "Address", "Reason"], logins);
    let certificates = report.certificates.iter().map(|certificate| {
        vec![shown(certificate.file.as_deref()), certificate.expires.format("%Y-%m-%d %H:%M").to_string()]
    });
    section(&mut text, "Certificates", &["File", "Expires (UTC)"], certificates);
    text
}

/// What stands above the tables.
fn numbers(report: &Report) -> String {
    let state = match report.state {
        Readiness::Ready => "ready".to_owned(),
        Readiness::NotReady => format!("not ready: {}", plain(&report.reasons.join(", "))),
        Readiness::Draining => "draining".to_owned(),
    };
    let mut text = format!(
        "Bucketport {}, {state}, up for {}\n",
        plain(&report.version),
        seconds(report.uptime_seconds)
    );
    let Report { sessions, transfers, passive_ports, buffers, .. } = report;
    let unsigned = |number: i64| bytes(u64::try_from(number).unwrap_or_default());
    write(
        &mut text,
        format_args!(
            "sessions {} of {}, running transfers {}, passive ports waited on {} of {}, buffers {} of {}\n",
            sessions.open,
            sessions.limit,
            transfers.active,
            passive_ports.waiting,
            passive_ports.listening,
            unsigned(buffers.bytes),
            unsigned(buffers.limit_bytes),
        ),
    );
    if let Some(cluster) = report.cluster {
        write(
            &mut text,
            format_args!(
                "replica {} of 0 to {}, passive ports {} to {}, handing on {}\n",
                cluster.ordinal,
                cluster.replicas.saturating_sub(1),
                cluster.first_port,
                cluster.last_port,
                cluster.forwarding,
            ),
        );
    }
    text
}

/// A table under its title; nothing if it has no rows.
fn section(text: &mut String, title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head.iter().map(|name| name.to_uppercase()));
    for row in rows {
        let mut row = comfy_table::Row::from(row.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
        row.max_height(1);
        table.add_row(row);
    }
    if table.is_empty() {
        return;
    }
    for (column, name) in table.column_iter_mut().zip(head) {
        column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(WIDEST)));
        if matches!(*name, "Moved" | "Size" | "Speed" | "For" | "Took" | "Session") {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    write(text, format_args!("\n{title}\n{}\n", table.trim_fmt()));
}

fn write(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("writing to a string cannot fail");
}

fn shown(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}

/// Without control characters and those that turn the direction of text: a name could otherwise write over what is shown.
fn plain(text: &str) -> String {
    let is_plain = |c: &char| {
        !c.is_control()
            && !matches!(*c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_plain(&c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_move_the_cursor_and_are_cut() {
        let mut text = String::new();
        let rows = [
            vec!["1".to_owned(), format!("\x1b[2J\u{202e}{}", "é".repeat(100))],
            vec!["22".to_owned(), "b".to_owned()],
        ];
        section(&mut text, "Sessions", &["Session", "User"], rows.into_iter());
        assert!(!text.contains(['\x1b', '\u{202e}']), "{text:?}");
        assert!(text.lines().all(|line| line.chars().count() < 60), "{text}");
        assert_eq!(text.lines().count(), 5, "{text}");
        let mut nothing = String::new();
        section(&mut nothing, "Sessions", &["Session"], std::iter::empty());
        assert_eq!(nothing, "");
    }
}
