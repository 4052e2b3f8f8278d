//! The registry of live sessions: how many there may be, in all and from one address, and what each of them is doing,
//! for everybody who looks on.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::metrics::Rejection;
use crate::net::Ends;
use crate::session::{Activity, Session};
use crate::user::User;

/// All sessions. Clones are the same registry.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    most: usize,
    most_per_address: usize,
    live: Arc<Mutex<Live>>,
}

#[derive(Debug, Default)]
struct Live {
    last_id: u64,
    /// Connections that have a place, those that are not yet sessions included.
    places: usize,
    sessions: BTreeMap<u64, Arc<Session>>,
    /// Only addresses that are connected, so it is bounded like the sessions.
    by_address: HashMap<IpAddr, usize>,
}

/// What one session looks like from outside.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Unique in the process; in every log line of the session.
    pub id: u64,
    /// The client's end of the control connection.
    pub peer: SocketAddr,
    /// Who is logged in.
    pub user: Option<String>,
    /// How long ago it was accepted.
    pub age: Duration,
    /// What it is doing in its files.
    pub activity: Option<Activity>,
}

impl Sessions {
    /// A registry of at most `most` sessions, `most_per_address` of them from one address.
    pub(crate) fn new(most: usize, most_per_address: usize) -> Self {
        Self { most, most_per_address, live: Arc::default() }
    }

    /// A place for a connection of which nothing else is known yet.
    pub(crate) fn arrive(&self) -> Result<Place, Rejection> {
        let mut live = self.lock();
        if live.places >= self.most {
            return Err(Rejection::MaxConnections);
        }
        live.places += 1;
        Ok(Place(self.clone()))
    }

    /// Every live session as it is now, the oldest first.
    pub(crate) fn views(&self) -> Vec<View> {
        let sessions: Vec<_> = self.lock().sessions.values().cloned().collect();
        let view = |session: Arc<Session>| View {
            id: session.id,
            peer: session.peer,
            user: session.user().map(|user| user.name.clone()),
            age: session.began.elapsed(),
            activity: session.activity(),
        };
        sessions.into_iter().map(view).collect()
    }

    /// Has the sessions end before their next command whose users `is_meant` means; returns how many those are.
    pub(crate) fn outdate(&self, is_meant: impl Fn(&Arc<User>) -> bool) -> usize {
        let sessions: Vec<_> = self.lock().sessions.values().cloned().collect();
        sessions.iter().filter(|session| session.outdate_if(&is_meant)).count()
    }

    /// How many there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// Has the session with this id end now; tells whether there is one.
    pub(crate) fn dismiss(&self, id: u64) -> bool {
        let session = self.lock().sessions.get(&id).cloned();
        session.inspect(|session| session.dismiss()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        // No code that can panic runs under the lock.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among those that there may be; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Sessions);

impl Place {
    /// A session between these ends; it is live until the entry is dropped.
    pub(crate) fn open(self, ends: Ends) -> Result<Entry, Rejection> {
        let mut live = self.0.lock();
        let from_address = live.by_address.entry(ends.client.ip()).or_default();
        if *from_address >= self.0.most_per_address {
            drop(live);
            return Err(Rejection::MaxConnectionsPerIp);
        }
        *from_address += 1;
        live.last_id += 1;
        let session = Arc::new(Session::new(live.last_id, ends));
        live.sessions.insert(session.id, Arc::clone(&session));
        drop(live);
        Ok(Entry { place: self, session })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().places -= 1;
    }
}

/// A session's place in the registry.
#[derive(Debug)]
pub(crate) struct Entry {
    place: Place,
    session: Arc<Session>,
}

impl Deref for Entry {
    type Target = Arc<Session>;

    fn deref(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.session.end();
        let mut live = self.place.0.lock();
        live.sessions.remove(&self.session.id);
        let address = self.session.peer.ip();
        if let Some(count) = live.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                live.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::VirtualPath;
    use crate::session::{Operation, Pending};

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 40_000))
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let sessions = Sessions::new(3, 2);
        let open = |last| sessions.arrive()?.open(Ends::direct(address(last), address(1)));
        let first = open(1).expect("room");
        let _second = open(1).expect("room");
        assert_eq!(open(1).err(), Some(Rejection::MaxConnectionsPerIp));
        let third = open(2).expect("room");
        assert_eq!(open(2).err(), Some(Rejection::MaxConnections));
        drop((first, third));
        assert!(open(1).is_ok());
        let _arriving = [sessions.arrive(), sessions.arrive()];
        assert_eq!(open(2).err(), Some(Rejection::MaxConnections));
        assert!(!sessions.lock().by_address.contains_key(&address(2).ip()));
    }

    #[test]
    fn a_view_shows_what_a_session_does() {
        let sessions = Sessions::new(3, 2);
        let place = sessions.arrive().expect("room");
        let entry = place.open(Ends::direct(address(1), address(1))).expect("room");
        let path = VirtualPath::root().resolve("a").expect("plain");
        entry.begin(Pending::new(Operation::Stor, path.clone()));
        let [view] = &sessions.views()[..] else { panic!("one session") };
        let activity = view.activity.as_ref().expect("busy");
        assert_eq!((view.id, &view.user, &activity.path), (entry.id, &None, &path));
        drop(entry);
        assert!(sessions.views().is_empty());
    }
}
