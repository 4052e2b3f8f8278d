//! The page at `/status`: HTML in which whatever clients chose is escaped, with its style and script in it.

use std::time::Duration;

use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};

use super::report::{
    Certificate, EndedTransfer, EventQueue, FailedLogin, Readiness, Report, RunningTransfer, Session, Store,
};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Where the person stands who looks at the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// No admin token is configured, so nobody sees more.
    Unavailable,
    SignedOut,
    /// What was given is not the token.
    Refused,
    SignedIn,
}

/// The whole page around `content`, which comes from [`content`]. The policy that goes with it lets in only the style and
/// the script that carry `nonce`.
pub(super) fn whole(content: &str, account: Account, nonce: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Bucketport status" }
                // Without it a browser asks for one that is not there.
                link rel="icon" href="data:,";
                style nonce=(nonce) { (PreEscaped(STYLE)) }
                noscript { meta http-equiv="refresh" content="10"; }
            }
            body {
                header {
                    h1 { "Bucketport" }
                    p #live role="status" {}
                    (self::account(account))
                }
                (PreEscaped(content))
                script nonce=(nonce) { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn account(account: Account) -> Markup {
    html! {
        @match account {
            Account::Unavailable => {}
            Account::SignedOut | Account::Refused => {
                form .account method="post" action="status/login" {
                    // Password managers ask for a name to keep the token under.
                    input type="text" name="name" value="admin" autocomplete="username" hidden;
                    label for="token" { "Admin token" }
                    input #token name="token" type="password" required autocomplete="current-password"
                        aria-describedby=[(account == Account::Refused).then_some("refused")];
                    button { "Sign in" }
                    @if account == Account::Refused { p #refused .bad role="alert" { "That is not the token." } }
                }
            }
            Account::SignedIn => {
                form .account method="post" action="status/logout" {
                    button type="button" data-method="POST" data-path="reload" { "Reload users" }
                    button .danger type="button" data-method="POST" data-path="drain"
                        data-question="Drain and stop this gateway?" { "Drain" }
                    button { "Sign out" }
                }
            }
        }
    }
}

/// What changes while somebody looks.
pub(super) fn content(report: &Report) -> Markup {
    let Report { sessions, transfers, passive_ports, buffers, .. } = report;
    html! {
        main {
            (state(report))
            dl .facts {
                (fact("Sessions", &format!("{} of {}", sessions.open, sessions.limit)))
                (fact("Running transfers", &transfers.active.to_string()))
                (fact("Waiting on passive ports", &format!("{}, {} ports", passive_ports.waiting, passive_ports.listening)))
                (fact("Buffers", &format!("{} of {}", bytes(unsigned(buffers.bytes)), bytes(unsigned(buffers.limit_bytes)))))
            }
            (table("running", "Running transfers", &transfers.running, running))
            (table("sessions", "Sessions", &sessions.list, session))
            (table("last", "Last transfers", &transfers.last, ended))
            (table("stores", "Stores", &report.stores, store))
            @if !report.event_queues.is_empty() {
                (table("event-queues", "Event queues", &report.event_queues, event_queue))
            }
            (table("failed-logins", "Failed logins", &report.failed_logins, failed_login))
            @if !report.certificates.is_empty() {
                (table("certificates", "Certificates", &report.certificates, |it| certificate(it, report.time)))
            }
            @if let Some(cluster) = &report.cluster {
                section aria-labelledby="cluster" {
                    h2 #cluster { "Cluster" }
                    dl .facts {
                        (fact("This replica", &format!("{} of 0 to {}", cluster.ordinal, cluster.replicas.saturating_sub(1))))
                        (fact("Its passive ports", &format!("{} to {}", cluster.first_port, cluster.last_port)))
                        (fact("Handed on now", &cluster.forwarding.to_string()))
                    }
                }
            }
            @if !report.details {
                p .note { "Names, addresses and paths are shown to those who sign in." }
            }
        }
    }
}

fn state(report: &Report) -> Markup {
    let (class, word) = match report.state {
        Readiness::Ready => ("good", "Ready"),
        Readiness::NotReady => ("bad", "Not ready"),
        Readiness::Draining => ("warn", "Draining"),
    };
    html! {
        p .state .(class) {
            @let reasons: Vec<&str> =
                report.reasons.iter().map(String::as_str).filter(|reason| *reason != "draining").collect();
            strong { (word) @if !reasons.is_empty() { ": " (reasons.join(", ")) } }
            span .faint { "version " (report.version) ", up for " (seconds(report.uptime_seconds)) }
        }
    }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// A row of a table. All of a table have the same cells.
struct Row {
    /// By which the script finds it again.
    id: Option<String>,
    cells: Vec<Cell>,
}

/// A cell, with what stands above it; on narrow screens beside it.
struct Cell {
    head: &'static str,
    class: &'static str,
    content: Markup,
}

fn cell(head: &'static str, class: &'static str, content: impl Render) -> Cell {
    Cell { head, class, content: content.render() }
}

/// Text that somebody chose; a stroke where there is none.
fn name(head: &'static str, text: Option<&str>) -> Cell {
    cell(head, "name", text.unwrap_or("-"))
}

/// A section with a table, or with the word that there is nothing. The roles are those of the elements, which lose them where
/// the style shows rows as blocks.
fn table<T>(id: &str, title: &str, items: &[T], row: impl Fn(&T) -> Row) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 #(id) { (title) }
            @if let Some(first) = items.first() {
                div .scroll tabindex="0" role="region" aria-labelledby=(id) {
                    table role="table" {
                        thead role="rowgroup" {
                            tr role="row" {
                                @for cell in row(first).cells { th scope="col" role="columnheader" { (cell.head) } }
                            }
                        }
                        tbody role="rowgroup" {
                            @for Row { id, cells } in items.iter().map(row) {
                                tr id=[id] role="row" {
                                    @for cell in cells {
                                        td .(cell.class) role="cell" data-head=(cell.head) { (cell.content) }
                                    }
                                }
                            }
                        }
                    }
                }
            } @else {
                p .none { "None" }
            }
        }
    }
}

fn running(transfer: &RunningTransfer) -> Row {
    let mut cells = Vec::new();
    if let Some(path) = &transfer.path {
        cells.extend([name("File", Some(path)), name("User", transfer.user.as_deref())]);
    }
    let progress = html! {
        @match percent(transfer) {
            Some(percent) => {
                progress max="100" value=(percent) aria-label="Progress" {}
                " " (percent) " %"
            }
            None => span .faint { "size unknown" }
        }
    };
    cells.extend([
        cell("Direction", "", &transfer.direction),
        cell("Progress", "number", progress),
        cell("Moved", "number", bytes(transfer.bytes)),
        cell("Speed", "number", html! { (bytes(transfer.bytes_per_second)) "/s" }),
        cell("For", "number", rough(transfer.seconds)),
        cell("Session", "number", transfer.session),
    ]);
    Row { id: Some(format!("transfer-{}", transfer.session)), cells }
}

fn percent(transfer: &RunningTransfer) -> Option<u64> {
    let size = transfer.size.filter(|size| *size > 0)?;
    // A client that has announced less than it sends has not finished.
    Some((u128::from(transfer.bytes) * 100 / u128::from(size)).try_into().unwrap_or(100).min(100))
}

fn session(session: &Session) -> Row {
    let mut cells = vec![cell("Session", "number", session.id)];
    if let Some(address) = &session.address {
        let user = match &session.user {
            Some(user) => name("User", Some(user)),
            None => cell("User", "faint", "not logged in"),
        };
        cells.extend([user, cell("Address", "", address)]);
    }
    cells.push(cell("Command", "", session.command.as_deref().unwrap_or("idle")));
    cells.push(cell("For", "number", seconds(session.seconds)));
    if session.address.is_some() {
        let button = html! {
            button .danger type="button" data-method="DELETE" data-path=(format!("sessions/{}", session.id))
                data-question=(format!("End session {} now?", session.id))
                aria-label=(format!("End session {}", session.id)) { "End" }
        };
        cells.push(cell("End", "", button));
    }
    Row { id: Some(format!("session-{}", session.id)), cells }
}

fn ended(transfer: &EndedTransfer) -> Row {
    let mut cells = vec![cell("Ended (UTC)", "", time(transfer.ended))];
    if let Some(path) = &transfer.path {
        cells.extend([
            name("File", Some(path)),
            name("User", transfer.user.as_deref()),
            name("Address", transfer.address.as_deref()),
        ]);
    }
    let good = if transfer.result == "ok" { "good" } else { "bad" };
    cells.extend([
        cell("Direction", "", &transfer.direction),
        cell("Result", good, transfer.result.replace('_', " ")),
        cell("Size", "number", bytes(transfer.bytes)),
        cell("Took", "number", rough(transfer.seconds)),
        name("Store", transfer.store.as_deref()),
    ]);
    Row { id: None, cells }
}

fn store(store: &Store) -> Row {
    let (class, state) = match (store.reachable, &store.error) {
        (Some(true), _) => ("good", html! { "answers" }),
        (Some(false), None) => ("bad", html! { "unreachable" }),
        (Some(false), Some(error)) => ("bad name", html! { "unreachable: " (error) }),
        (None, _) => ("faint", html! { "not asked yet" }),
    };
    let since = html! { @if let Some(since) = store.since { (time(since)) } };
    let cells =
        vec![name("Store", Some(&store.name)), cell("State", class, state), cell("Since (UTC)", "", since)];
    Row { id: None, cells }
}

fn event_queue(queue: &EventQueue) -> Row {
    let class = |count| if count == 0 { "number" } else { "number warn" };
    let oldest = html! { @if let Some(oldest) = queue.oldest { (time(oldest)) } };
    let cells = vec![
        name("Sink", Some(&queue.sink)),
        cell("Waiting", class(queue.waiting), queue.waiting),
        cell("Oldest (UTC)", "", oldest),
        cell("In memory alone", class(queue.at_stake), queue.at_stake),
    ];
    Row { id: None, cells }
}

fn failed_login(login: &FailedLogin) -> Row {
    let mut cells = vec![cell("Time (UTC)", "", time(login.time))];
    if login.name.is_some() {
        cells.extend([name("Name", login.name.as_deref()), name("Address", login.address.as_deref())]);
    }
    cells.extend([cell("Reason", "", &login.reason), cell("Session", "number", login.session)]);
    Row { id: None, cells }
}

fn certificate(certificate: &Certificate, now: DateTime<Utc>) -> Row {
    let expires = html! { (time(certificate.expires)) " " (due(certificate.expires, now)) };
    let cells = vec![name("File", certificate.file.as_deref()), cell("Expires (UTC)", "", expires)];
    Row { id: None, cells }
}

fn time(time: DateTime<Utc>) -> Markup {
    html! { time datetime=(time.to_rfc3339()) { (time.format("%Y-%m-%d %H:%M:%S")) } }
}

/// How long something is still good for.
fn due(expires: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let days = (expires - now).num_days();
    html! {
        @if expires <= now { strong .bad { "expired" } }
        @else if days < 14 { strong .warn { "in " (days) " days" } }
        @else { span .faint { "in " (days) " days" } }
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// With three digits, for people.
pub(crate) fn bytes(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string().replace(".0 ", " ")
}

/// In days, hours, minutes and seconds.
pub(crate) fn seconds(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

/// With a digit after the point while it is short.
pub(crate) fn rough(time: f64) -> String {
    let time = Duration::try_from_secs_f64(time).unwrap_or_default();
    if time < Duration::from_secs(10) {
        format!("{:.1}s", time.as_secs_f64())
    } else {
        seconds(time.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn what_expires_soon_or_has_expired_stands_out() {
        let now = Utc::now();
        for (days, shown) in [
            (0, "<strong class=\"bad\">expired</strong>"),
            (13, "<strong class=\"warn\">in 13 days</strong>"),
            (14, "<span class=\"faint\">in 14 days</span>"),
        ] {
            assert_eq!(due(now + TimeDelta::days(days), now).into_string(), shown);
        }
    }
}
