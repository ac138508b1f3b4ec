//! The guarded connections, and what has to be done for them. Pure: time, results and changes are passed in.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::feed::Lease;
use super::round::Round;
use super::unique_queue::UniqueQueue;
use super::{End, Ending, IdHash, Subject, Wake, Whose};
use crate::authenticator::Authenticator;
use crate::clock::{Moment, Uptime};
use crate::error::Error;
use crate::identity::Identity;
use crate::lookup::Outcome;
use crate::refusal::Reason;
use crate::settings::GuardSettings;
use crate::store::{Change, Key, LookupKey, SessionKey, UserKey};

/// How many connections are checked by one statement.
const BATCH: usize = 64;
/// How many statements are under way at most: requests need the store too.
const MAX_UNDER_WAY: usize = 4;

pub(super) struct Roster {
    settings: GuardSettings,
    batch: usize,
    last_number: u64,
    /// Boxed, because half of the table may be empty.
    guards: HashMap<u64, Box<Guard>>,
    /// By the first bytes of the keys' hashes: two keys that share them are at worst checked once too often.
    by_session: BTreeSet<(u64, u64)>,
    by_user: BTreeSet<(u64, u64)>,
    /// When each expires, in microseconds as PostgreSQL stores it, unless a query about that is due.
    expiries: BTreeSet<(i64, u64)>,
    /// When the grace of those ends that could not be checked.
    graces: BTreeSet<(Uptime, u64)>,
    /// To be queried at once: changed, expired, or at the end of the grace.
    urgent: UniqueQueue,
    /// To be queried one statement after the other: anything may have changed.
    suspect: UniqueQueue,
    round: Round,
    lease: Lease,
    under_way: usize,
    /// Whether a statement of `suspect` or of the round is under way.
    is_sweeping: bool,
}

struct Guard {
    subject: Arc<Subject>,
    /// In microseconds.
    expires_at: i64,
    end: End,
    /// Its place in the round: when it was last queried there.
    in_round: Option<Uptime>,
    failing_since: Option<Uptime>,
    /// A query whether its expiry has moved is due or under way.
    is_expiring: bool,
}

/// What has to be done now.
#[derive(Default)]
pub(super) struct Step {
    pub(super) batches: Vec<Batch>,
    pub(super) endings: Vec<(End, Ending)>,
    pub(super) wake: Wake,
}

/// Connections that one statement is about.
pub(super) struct Batch {
    numbers: Vec<u64>,
    pub(super) keys: Vec<LookupKey>,
    sent: Moment,
    is_sweep: bool,
}

impl Roster {
    pub(super) fn new(settings: GuardSettings, max_waiting: usize) -> Self {
        let batch = BATCH.min(max_waiting);
        Self {
            settings,
            batch,
            last_number: 0,
            guards: HashMap::new(),
            by_session: BTreeSet::new(),
            by_user: BTreeSet::new(),
            expiries: BTreeSet::new(),
            graces: BTreeSet::new(),
            urgent: UniqueQueue::default(),
            suspect: UniqueQueue::default(),
            round: Round::new(settings.recheck, batch),
            lease: Lease::default(),
            under_way: 0,
            is_sweeping: false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.guards.len()
    }

    /// Whether nothing is left of connections that are gone.
    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        self.by_session.is_empty()
            && self.by_user.is_empty()
            && self.expiries.is_empty()
            && self.graces.is_empty()
            && self.urgent.is_empty()
            && self.suspect.is_empty()
            && self.round.due().is_none()
    }

    pub(super) fn add(&mut self, subject: Arc<Subject>, since: Uptime, now: Uptime, end: End) -> u64 {
        self.last_number += 1;
        let number = self.last_number;
        if let Some(key) = &subject.key {
            self.by_session.insert((SessionKey::of(key).prefix(), number));
            self.by_user.insert((subject.user.prefix(), number));
        }
        let expires_at = subject.expires_at.timestamp_micros();
        self.expiries.insert((expires_at, number));
        let is_rechecked = subject.key.is_some() && !self.lease.is_alive();
        let guard =
            Guard { subject, expires_at, end, in_round: None, failing_since: None, is_expiring: false };
        self.guards.insert(number, Box::new(guard));
        if is_rechecked {
            self.enter_round(number, since, now);
        }
        number
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<End> {
        let guard = self.guards.remove(&number)?;
        if let Some(key) = &guard.subject.key {
            self.by_session.remove(&(SessionKey::of(key).prefix(), number));
            self.by_user.remove(&(guard.subject.user.prefix(), number));
        }
        self.expiries.remove(&(guard.expires_at, number));
        if let Some(since) = guard.failing_since {
            self.graces.remove(&(since.after(self.settings.outage_grace), number));
        }
        if let Some(queried) = guard.in_round {
            self.round.remove(queried, number);
        }
        self.urgent.remove(number);
        self.suspect.remove(number);
        Some(guard.end)
    }

    pub(super) fn take_all(&mut self) -> Vec<End> {
        let numbers: Vec<u64> = self.guards.keys().copied().collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    pub(super) fn disconnect(&mut self, whose: Whose<'_>) -> Vec<End> {
        let (user, session) = match whose {
            Whose::User(id) => (Some(UserKey::of(id)), None),
            Whose::Session(id) => (None, Some(IdHash::of(id))),
        };
        let is_theirs = |subject: &Subject| {
            user.is_some_and(|user| subject.user == user)
                || session.is_some_and(|session| subject.session_id == Some(session))
        };
        let theirs = self.guards.iter().filter(|(_, guard)| is_theirs(&guard.subject));
        let numbers: Vec<u64> = theirs.map(|(number, _)| *number).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    pub(super) fn check_soon(&mut self, number: u64) {
        if self.guards.get(&number).is_some_and(|guard| guard.in_round.is_none()) {
            self.urgent.push(number);
        }
    }

    // --- the feed

    pub(super) fn begin_feed(&mut self, now: Uptime) -> u64 {
        let number = self.lease.begin();
        self.recheck_all(now);
        number
    }

    pub(super) fn renew(&mut self, feed: u64, until: Uptime, fingerprint: &str, now: Uptime) {
        self.notice_lapse(now);
        let was_alive = self.lease.is_alive();
        if self.lease.renew(feed, until, fingerprint, now) {
            self.apply(&Change::Everything);
        }
        if !was_alive && self.lease.is_alive() {
            self.round.begin_catch_up(now);
        }
    }

    pub(super) fn suspend(&mut self, feed: u64, now: Uptime) {
        if self.lease.revoke(feed) {
            self.recheck_all(now);
        }
    }

    pub(super) fn apply(&mut self, change: &Change) {
        let Change::Of(keys) = change else {
            let all = self.guards.iter().filter(|(_, guard)| guard.subject.key.is_some());
            all.for_each(|(number, _)| self.suspect.push(*number));
            return;
        };
        for key in keys {
            let (index, prefix) = match key {
                Key::Session(session) => (&self.by_session, session.prefix()),
                Key::User(user) => (&self.by_user, user.prefix()),
            };
            let changed = index.range((prefix, 0)..=(prefix, u64::MAX));
            changed.for_each(|(_, number)| self.urgent.push(*number));
        }
    }

    fn notice_lapse(&mut self, now: Uptime) {
        if self.lease.lapses(now) {
            self.recheck_all(now);
        }
    }

    /// From now on no feed keeps them current. They were current until now, so the first of them is due an interval
    /// later at most.
    fn recheck_all(&mut self, now: Uptime) {
        self.round.end_catch_up();
        let left_out = |guard: &Guard| guard.subject.key.is_some() && guard.in_round.is_none();
        let numbers: Vec<u64> =
            self.guards.iter().filter(|(_, guard)| left_out(guard)).map(|(number, _)| *number).collect();
        for number in numbers {
            self.enter_round(number, now, now);
        }
    }

    fn enter_round(&mut self, number: u64, queried: Uptime, now: Uptime) {
        if let Some(guard) = self.guards.get_mut(&number)
            && guard.in_round.is_none()
        {
            guard.in_round = Some(queried);
            self.round.insert(queried, number, now);
        }
    }

    // --- what to do now

    pub(super) fn poll(&mut self, now: Moment) -> Step {
        self.notice_lapse(now.uptime);
        let mut step = Step { endings: self.expire(now.wall), ..Step::default() };
        while let Some((deadline, number)) = self.graces.first().copied()
            && deadline <= now.uptime
        {
            self.graces.remove(&(deadline, number));
            self.urgent.push(number);
        }
        while self.under_way < MAX_UNDER_WAY && !self.urgent.is_empty() {
            let numbers = self.urgent.take(self.batch);
            self.send(numbers, now, false, &mut step);
        }
        if !self.is_sweeping && self.under_way < MAX_UNDER_WAY {
            let numbers = self.next_sweep(now.uptime);
            self.send(numbers, now, true, &mut step);
        }
        let expiry = self.expiries.first().and_then(|(at, _)| DateTime::from_timestamp_micros(*at));
        step.wake = Wake { wall: expiry, uptime: self.lease.end() }
            .earlier(self.graces.first().map(|(at, _)| *at))
            .earlier(self.round.due().filter(|_| !self.is_sweeping));
        step
    }

    /// Those whose time is over: of a JWT it cannot move, of a session the store knows.
    fn expire(&mut self, now: DateTime<Utc>) -> Vec<(End, Ending)> {
        let mut ends = Vec::new();
        while let Some((expires_at, number)) = self.expiries.first().copied()
            && expires_at < now.timestamp_micros()
        {
            self.expiries.remove(&(expires_at, number));
            let Some(guard) = self.guards.get_mut(&number) else { continue };
            if matches!(guard.subject.key, Some(LookupKey::Session(_))) {
                guard.is_expiring = true;
                self.urgent.push(number);
            } else {
                ends.extend(self.remove(number).map(|end| (end, Ending::Ended(Reason::Expired))));
            }
        }
        ends
    }

    fn next_sweep(&mut self, now: Uptime) -> Vec<u64> {
        if !self.suspect.is_empty() {
            return self.suspect.take(self.batch);
        }
        if self.round.due().is_none_or(|due| due > now) {
            return Vec::new();
        }
        let taken = self.round.take(now);
        for (_, number) in &taken {
            if let Some(guard) = self.guards.get_mut(number) {
                guard.in_round = Some(now);
            }
        }
        taken.into_iter().map(|(_, number)| number).collect()
    }

    fn send(&mut self, numbers: Vec<u64>, now: Moment, is_sweep: bool, step: &mut Step) {
        let key = |number: &u64| self.guards.get(number)?.subject.key.clone();
        let (numbers, keys): (Vec<u64>, Vec<LookupKey>) =
            numbers.into_iter().filter_map(|number| Some((number, key(&number)?))).unzip();
        if numbers.is_empty() {
            return;
        }
        self.under_way += 1;
        self.is_sweeping |= is_sweep;
        step.batches.push(Batch { numbers, keys, sent: now, is_sweep });
    }

    // --- results of the store

    /// One outcome for each key of the batch.
    pub(super) fn settle(&mut self, batch: Batch, outcomes: Vec<Outcome>, now: Uptime) -> Vec<(End, Ending)> {
        self.under_way -= 1;
        self.is_sweeping &= !batch.is_sweep;
        let mut endings = Vec::new();
        for (number, outcome) in batch.numbers.into_iter().zip(outcomes) {
            if let Some(ending) = self.settle_one(number, outcome, batch.sent, now) {
                endings.extend(self.remove(number).map(|end| (end, ending)));
            }
        }
        endings
    }

    fn settle_one(&mut self, number: u64, outcome: Outcome, sent: Moment, now: Uptime) -> Option<Ending> {
        let subject = &self.guards.get(&number)?.subject;
        // What has expired since it was sent may have been renewed since: its timer has another query sent.
        match outcome.map(|found| Authenticator::decide(found, sent.wall)) {
            Ok(Ok(identity)) if UserKey::of(&identity.user.id) == subject.user => {
                self.confirm(number, &identity, sent.uptime);
                None
            }
            Ok(Ok(_anothers)) => Some(Ending::Ended(Reason::UnknownSession)),
            Ok(Err(refusal)) => Some(Ending::Ended(refusal.reason)),
            Err(error) => self.fail(number, error, now),
        }
    }

    fn confirm(&mut self, number: u64, identity: &Identity, sent: Uptime) {
        let is_covered = self.lease.covers(sent);
        let Some(guard) = self.guards.get_mut(&number) else { return };
        if let Some(session) = &identity.session {
            self.expiries.remove(&(guard.expires_at, number));
            guard.expires_at = session.expires_at.timestamp_micros();
            self.expiries.insert((guard.expires_at, number));
            guard.is_expiring = false;
        }
        if let Some(since) = guard.failing_since.take() {
            self.graces.remove(&(since.after(self.settings.outage_grace), number));
        }
        if is_covered && let Some(queried) = guard.in_round.take() {
            self.round.remove(queried, number);
        }
    }

    /// The state is not known. Only an expiry or the end of the grace closes the connection.
    fn fail(&mut self, number: u64, error: Arc<Error>, now: Uptime) -> Option<Ending> {
        let guard = self.guards.get_mut(&number)?;
        if guard.is_expiring {
            return Some(Ending::Ended(Reason::Expired));
        }
        let deadline = guard.failing_since.get_or_insert(now).after(self.settings.outage_grace);
        if deadline <= now {
            return Some(Ending::Unchecked(error));
        }
        self.graces.insert((deadline, number));
        self.enter_round(number, now, now);
        None
    }
}
