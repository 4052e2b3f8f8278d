//! What a session has done, told to whoever the configuration wants to know.

use std::sync::Arc;
use std::time::Instant;

use super::front::Front;
use crate::config::EventType;
use crate::events::{Announced, Details, Event, Events};
use crate::files::{Files, Place, Result};
use crate::path::VirtualPath;
use crate::session::Session;

/// Something that a session is about to do with a file or directory.
pub(super) struct Telling {
    announced: Announced,
    event: Event,
    begun: Instant,
}

impl Telling {
    /// It is done: `details` are what is known only now.
    pub(super) async fn tell(mut self, details: Details) -> Result<()> {
        let known = std::mem::take(&mut self.event.details);
        let duration_seconds = Some(self.begun.elapsed().as_secs_f64());
        self.event.details = Details {
            path: known.path,
            from_path: known.from_path,
            store: known.store,
            key: known.key,
            from_store: known.from_store,
            from_key: known.from_key,
            duration_seconds,
            ..details
        };
        Ok(self.announced.tell(&self.event).await?)
    }
}

/// This is about to be done in `session` with what is at `path`, or to get there `from` elsewhere. Refused if a sink has to be
/// told of it and has no room.
pub(super) fn announce(
    events: &Events,
    session: &Session,
    kind: EventType,
    (path, from): (&VirtualPath, Option<&VirtualPath>),
    files: &Files,
) -> Result<Telling> {
    let paths = [from.map(VirtualPath::as_str), Some(path.as_str())];
    let paths: Vec<&str> = paths.into_iter().flatten().collect();
    let announced = events.announce(kind, Some(files.user()), &paths)?;
    // Whatever has no place will be refused, with the right words.
    let place = |path| files.place(path).ok().map(|Place { store, key }| (store, key)).unzip();
    let (store, key) = place(path);
    let (from_store, from_key) = from.map(place).unwrap_or_default();
    let details = Details {
        path: Some(path.as_str().to_owned()),
        from_path: from.map(|from| from.as_str().to_owned()),
        store,
        key,
        from_store,
        from_key,
        ..Details::default()
    };
    let event = event(kind, session, Some(files.user().to_owned()), details);
    Ok(Telling { announced, event, begun: Instant::now() })
}

/// Somebody has logged in to `session`, or has not, for this reason.
pub(super) fn login(front: &Front, session: &Session, name: &str, reason: Option<&'static str>) {
    let kind = if reason.is_none() { EventType::Login } else { EventType::LoginFailed };
    let details = Details { reason, ..Details::default() };
    front.events.tell(&event(kind, session, Some(name.to_owned()), details));
}

/// A session that tells when it ends, if it is a user's then.
#[derive(Debug)]
pub(crate) struct TellsEnd {
    front: Front,
    session: Arc<Session>,
}

impl TellsEnd {
    pub(crate) fn new(front: &Front, session: &Arc<Session>) -> Self {
        Self { front: front.clone(), session: Arc::clone(session) }
    }
}

impl Drop for TellsEnd {
    fn drop(&mut self) {
        // Semantics decision: of a session in which nobody is logged in there is nothing to tell. Balancers open one every few
        // seconds to see whether the gateway is there.
        if let Some(user) = self.session.user() {
            let duration_seconds = Some(self.session.began.elapsed().as_secs_f64());
            let details = Details { duration_seconds, ..Details::default() };
            let ended = event(EventType::SessionClosed, &self.session, Some(user.name.clone()), details);
            self.front.events.tell(&ended);
        }
    }
}

fn event(kind: EventType, session: &Session, user: Option<String>, details: Details) -> Event {
    Event { kind, user, client: session.peer.ip(), session: session.id, details }
}
