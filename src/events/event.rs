//! One event, and how it is written: `CloudEvents` 1.0, structured, as JSON.

use std::net::IpAddr;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::config::EventType;

/// What has happened, who has done it, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// What kind of thing.
    pub kind: EventType,
    /// Who: for a failed login the name that was given.
    pub user: Option<String>,
    /// The client's address.
    pub client: IpAddr,
    /// The session's number in the log.
    pub session: u64,
    /// The rest.
    pub details: Details,
}

/// What an event tells beside what all events do.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Details {
    /// The file or directory, as the user sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What its path was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_path: Option<String>,
    /// The store that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Its key there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The store that it was in before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_store: Option<String>,
    /// Its key there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_key: Option<String>,
    /// Bytes of the whole file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Bytes that went over the data connection and belong to the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transferred: Option<u64>,
    /// Bytes of files that a login has sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uploaded: Option<u64>,
    /// Bytes of files that a login has got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downloaded: Option<u64>,
    /// The store's tag of this content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The store's name for this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The algorithm, a colon, and the checksum in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Why a login failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
}

/// Where events come from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The machine.
    pub(super) source: String,
    /// Sessions are counted from 1 in each process.
    pub(super) process: Uuid,
}

/// An event as it is sent, with what decides on its order. Its bytes are the same at each try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// When it was made.
    pub(super) made: DateTime<Utc>,
    /// What it is about, so that nothing later about the same overtakes it: one or two names.
    pub(super) about: Vec<String>,
    /// The JSON.
    pub(super) body: Bytes,
}

impl Letter {
    /// Writes `event`, which happened now. Its id is made here, once.
    pub(super) fn write(event: &Event, origin: &Origin) -> Self {
        let (id, made) = (Uuid::now_v7(), Utc::now());
        let envelope = Envelope {
            specversion: "1.0",
            id,
            source: &origin.source,
            kind: kind(event.kind),
            subject: event.details.path.as_deref(),
            time: made.to_rfc3339_opts(SecondsFormat::Millis, true),
            datacontenttype: "application/json",
            data: Data {
                user: event.user.as_deref(),
                client: event.client.to_canonical(),
                session: event.session,
                process: origin.process,
                details: &event.details,
            },
        };
        let body = serde_json::to_vec(&envelope).expect("nothing in it can fail to be written");
        Self { made, about: about(event), body: body.into() }
    }
}

/// An event with a path is about the object, whoever sees it under whatever path; any other about its session.
fn about(event: &Event) -> Vec<String> {
    let Details { store, key, from_store, from_key, .. } = &event.details;
    let mut about = Vec::new();
    for (store, key) in [(from_store, from_key), (store, key)] {
        if let (Some(store), Some(key)) = (store, key) {
            about.push(format!("{store}/{key}"));
        }
    }
    about.dedup();
    if about.is_empty() {
        // No name of a store can be empty.
        about.push(format!("/{}", event.session));
    }
    about
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    #[serde(serialize_with = "as_text")]
    id: Uuid,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    client: IpAddr,
    session: u64,
    #[serde(serialize_with = "as_text")]
    process: Uuid,
    #[serde(flatten)]
    details: &'a Details,
}

fn kind(kind: EventType) -> String {
    format!("org.bucketport.{}", kind.name())
}

fn as_text<S: serde::Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(details: Details) -> Event {
        let client = "::ffff:192.0.2.1".parse().expect("an address");
        Event { kind: EventType::Rename, user: Some("acme".to_owned()), client, session: 7, details }
    }

    fn origin() -> Origin {
        Origin { source: "urn:bucketport:here".to_owned(), process: Uuid::nil() }
    }

    #[test]
    fn it_is_a_cloud_event() {
        let details = Details {
            path: Some("/in/é.csv".to_owned()),
            size: Some(3),
            checksum: Some("sha256:00".to_owned()),
            ..Details::default()
        };
        let letter = Letter::write(&event(details), &origin());
        let mut read: Value = serde_json::from_slice(&letter.body).expect("JSON");
        let fields = read.as_object_mut().expect("an object");
        let id = fields.remove("id").expect("an id");
        assert!(id.as_str().expect("text").parse::<Uuid>().is_ok_and(|id| id.get_version_num() == 7));
        let time = fields.remove("time").expect("a time");
        let time: DateTime<Utc> = time.as_str().expect("text").parse().expect("RFC 3339");
        assert_eq!(time.timestamp_millis(), letter.made.timestamp_millis());
        assert_eq!(
            read,
            json!({
                "specversion": "1.0",
                "source": "urn:bucketport:here",
                "type": "org.bucketport.rename",
                "subject": "/in/é.csv",
                "datacontenttype": "application/json",
                "data": {"user": "acme", "client": "192.0.2.1", "session": 7,
                         "process": "00000000-0000-0000-0000-000000000000",
                         "path": "/in/é.csv", "size": 3, "checksum": "sha256:00"},
            })
        );
    }

    #[test]
    fn what_it_is_about_are_the_objects_else_the_session() {
        let text = |text: &str| Some(text.to_owned());
        let about_of = |details| Letter::write(&event(details), &origin()).about;
        let (store, key) = (text("a"), text("k"));
        let one = Details { store: store.clone(), key: key.clone(), ..Details::default() };
        assert_eq!(about_of(one.clone()), ["a/k"]);
        let two = Details { from_store: store.clone(), from_key: text("old"), ..one.clone() };
        assert_eq!(about_of(two), ["a/old", "a/k"]);
        assert_eq!(about_of(Details { from_store: store, from_key: key, ..one }), ["a/k"]);
        assert_eq!(about_of(Details::default()), ["/7"]);
    }
}
