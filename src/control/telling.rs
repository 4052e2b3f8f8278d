//! What a session has done, told to whoever the configuration wants to know.

use std::sync::Arc;
use std::time::Instant;

use super::front::Front;
use crate::config::EventType;
use crate::events::{Announced, Details, Event, Events};
use crate::files::{Files, Place, Result};
use crate::path::VirtualPath;
use crate::session::{Login, Session, Traffic};

/// Something that a session is about to do with a file or directory.
pub(super) struct Telling {
    announced: Announced,
    event: Event,
    begun: Instant,
}

impl Telling {
    /// Whether anybody wants to know.
    pub(super) fn is_heard(&self) -> bool {
        self.announced.is_heard()
    }

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
    let begun = session.activity().map_or_else(Instant::now, |activity| activity.began);
    Ok(Telling { announced, event, begun })
}

/// Somebody has not logged in to `session`, for this reason.
pub(super) fn login_failed(front: &Front, session: &Session, name: &str, reason: &'static str) {
    let details = Details { reason: Some(reason), ..Details::default() };
    front.events.tell(&event(EventType::LoginFailed, session, Some(name.to_owned()), details));
}

/// Somebody has logged in to `session`. What is returned tells of the end when that is there.
// Semantics decision: of a session in which nobody is logged in there is nothing to tell. Balancers open one every few seconds
// to see whether the gateway is there.
pub(super) fn login(front: &Front, session: &Session, name: &str) -> Login {
    let events = front.events.clone();
    let told = |kind| event(kind, session, Some(name.to_owned()), Details::default());
    events.tell(&told(EventType::Login));
    let traffic = Arc::<Traffic>::default();
    let tells_end = TellsEnd {
        events,
        ended: told(EventType::SessionClosed),
        begun: Instant::now(),
        traffic: Arc::clone(&traffic),
    };
    Login::new(traffic, Box::new(tells_end))
}

/// Tells of the end of a login that was told: it is owned by the session, which drops it then.
#[derive(Debug)]
struct TellsEnd {
    events: Events,
    ended: Event,
    begun: Instant,
    traffic: Arc<Traffic>,
}

impl Drop for TellsEnd {
    fn drop(&mut self) {
        let (uploaded, downloaded) = self.traffic.sums();
        self.ended.details = Details {
            uploaded: Some(uploaded),
            downloaded: Some(downloaded),
            duration_seconds: Some(self.begun.elapsed().as_secs_f64()),
            ..Details::default()
        };
        self.events.tell(&self.ended);
    }
}

fn event(kind: EventType, session: &Session, user: Option<String>, details: Details) -> Event {
    Event { kind, user, client: session.peer.ip(), session: session.id, details }
}
