//! Live permits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use contract::auth::PermitId;
use contract::session::{SessionRef, SetStanding};
use contract::settings::Hls;
use contract::{Action, Protocol, Standing, StandingCell, StreamKey, SubscriberId, WallMs};

use super::Fence;

/// A player with a connection that was not heard for so long may be replaced by a
/// new login of the same subscriber.
const SILENT: Duration = Duration::from_secs(3);

/// A permit that somebody holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) stream: StreamKey,
    /// `None`: he said no name. Nothing but the address can stop him.
    pub(super) subscriber: Option<SubscriberId>,
    pub(super) action: Action,
    pub(super) protocol: Protocol,
    pub(super) peer: IpAddr,
    pub(super) proof: Proof,
    pub(super) session: SessionRef,
    pub(super) standing: Arc<StandingCell>,
    pub(super) events: Events,
}

/// Whether a code opened the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// He showed one.
    Code,
    /// None was needed.
    None,
}

/// Whether a session's beginning was recorded, so that its end will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Events {
    Recorded,
    Unrecorded,
}

impl Held {
    /// Sets what holds from now on, and makes the fence that says so.
    pub(super) fn fence(&self, set: SetStanding) -> Fence {
        self.standing.set(set.standing());
        Fence { session: self.session.clone(), set }
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.standing.get() == Standing::Revoked
    }

    /// Whether somebody is there.
    pub(super) fn is_there(&self, hls: &Hls, now: WallMs) -> bool {
        !self.is_revoked() && !hls.has_left(self.protocol, &self.session.traffic, now)
    }

    /// A player that was not heard for so long may be replaced. HLS players are
    /// silent between two requests; a phone that changed networks leaves a
    /// connection behind that says nothing (C§16.7).
    fn patience(&self, hls: &Hls) -> Duration {
        if self.protocol == Protocol::Hls { hls.patience() } else { SILENT }
    }
}

/// Permits by id, and by whose they are.
#[derive(Debug, Default)]
pub(super) struct Permits {
    next: u64,
    held: BTreeMap<PermitId, Held>,
    by_subject: HashMap<(StreamKey, SubscriberId), BTreeSet<PermitId>>,
}

impl Permits {
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn insert(&mut self, held: Held) -> PermitId {
        self.next += 1;
        let id = PermitId(self.next);
        if let Some(subscriber) = &held.subscriber {
            self.by_subject.entry((held.stream.clone(), subscriber.clone())).or_default().insert(id);
        }
        self.held.insert(id, held);
        id
    }

    pub(super) fn remove(&mut self, id: PermitId) -> Option<Held> {
        let held = self.held.remove(&id)?;
        if let Some(subscriber) = &held.subscriber {
            let key = (held.stream.clone(), subscriber.clone());
            let ids = self.by_subject.entry(key.clone()).or_default();
            ids.remove(&id);
            if ids.is_empty() {
                self.by_subject.remove(&key);
            }
        }
        Some(held)
    }

    pub(super) fn get(&self, id: PermitId) -> Option<&Held> {
        self.held.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: PermitId) -> Option<&mut Held> {
        self.held.get_mut(&id)
    }

    /// All, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.held.values()
    }

    /// A subscriber's permits on a stream, oldest first.
    pub(super) fn of(
        &self,
        stream: &StreamKey,
        subscriber: &SubscriberId,
    ) -> impl Iterator<Item = (PermitId, &Held)> {
        let ids = self.by_subject.get(&(stream.clone(), subscriber.clone()));
        ids.into_iter().flatten().filter_map(|id| Some((*id, self.held.get(id)?)))
    }

    /// From now on nothing is recorded of a subscriber's sessions.
    pub(super) fn forget_events(&mut self, stream: &StreamKey, subscriber: &SubscriberId) {
        let ids = self.by_subject.get(&(stream.clone(), subscriber.clone()));
        for id in ids.into_iter().flatten() {
            if let Some(held) = self.held.get_mut(id) {
                held.events = Events::Unrecorded;
            }
        }
    }

    /// A subscriber's permits in one direction that are not revoked.
    pub(super) fn live(
        &self,
        stream: &StreamKey,
        subscriber: &SubscriberId,
        action: Action,
    ) -> impl Iterator<Item = (PermitId, &Held)> {
        self.of(stream, subscriber).filter(move |(_, held)| held.action == action && !held.is_revoked())
    }

    /// Places of a subscriber's players that a new login may take, the most silent
    /// first, each with the permits that stand for it. HLS has one place per
    /// address, which is as silent as the least silent of its permits.
    pub(super) fn silent_places(
        &self,
        stream: &StreamKey,
        subscriber: &SubscriberId,
        hls: &Hls,
        now: WallMs,
    ) -> Vec<Vec<PermitId>> {
        let coded = self.live(stream, subscriber, Action::Play).filter(|(_, held)| held.proof == Proof::Code);
        let mut places: BTreeMap<_, Place> = BTreeMap::new();
        for (id, held) in coded {
            let whose = match held.protocol {
                Protocol::Hls => PlaceKey::Address(held.peer),
                _ => PlaceKey::Connection(id),
            };
            let place = places.entry(whose).or_default();
            let silence = held.session.traffic.silent_for(now);
            place.silence = if place.permits.is_empty() { silence } else { place.silence.min(silence) };
            place.patience = held.patience(hls);
            place.permits.push(id);
        }
        let mut silent: Vec<_> =
            places.into_values().filter(|place| place.silence >= place.patience).collect();
        silent.sort_by_key(|place| std::cmp::Reverse(place.silence));
        silent.into_iter().map(|place| place.permits).collect()
    }

    /// Places that a subscriber's players take. Only those that showed a code
    /// count; HLS counts one per address.
    pub(super) fn places(&self, stream: &StreamKey, subscriber: &SubscriberId) -> Taken {
        let mut taken = Taken::default();
        for (_, held) in self.live(stream, subscriber, Action::Play) {
            match held.proof {
                Proof::None => {}
                Proof::Code if held.protocol == Protocol::Hls => _ = taken.hls.insert(held.peer),
                Proof::Code => taken.connections += 1,
            }
        }
        taken
    }
}

/// See [`Permits::places`].
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) connections: usize,
    pub(super) hls: BTreeSet<IpAddr>,
}

/// What a place is one of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PlaceKey {
    /// HLS: all that comes from there.
    Address(IpAddr),
    Connection(PermitId),
}

/// See [`Permits::silent_places`].
#[derive(Debug, Default)]
struct Place {
    permits: Vec<PermitId>,
    silence: Duration,
    patience: Duration,
}
