//! What the node says, as JSON.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use shoal_node::{
    Announce, Cid, Contents, ContentsEntry, FindSummary, GetProgress, Paths, PeerId, PeerInfo,
    PublishProgress, Scopes, Shared,
};

use super::{
    AddressNamed, Announced, CidNamed, Directory, Dropped, Entry, Event, Fetched, Holder, Looked, Missed,
    Overlay, Peer, PeerBytes, PeerNamed, Progress, Published, Rates, Share, Skipped, Stage, StartedWith,
    Status, Unreached, Waiting, Warning,
};

impl From<PublishProgress> for Progress {
    fn from(progress: PublishProgress) -> Self {
        Self {
            stage: Stage::Hashing,
            bytes: progress.bytes,
            total: progress.bytes_total,
            files: progress.files,
            files_total: progress.files_total,
            sources: Vec::new(),
        }
    }
}

impl From<GetProgress> for Progress {
    fn from(progress: GetProgress) -> Self {
        Self {
            stage: match progress.stage {
                shoal_node::Stage::Finishing => Stage::Finishing,
                shoal_node::Stage::Waiting => Stage::Waiting,
                shoal_node::Stage::Fetching => Stage::Fetching,
                _ => Stage::Finding,
            },
            bytes: progress.verified,
            total: progress.total,
            files: progress.files_done,
            files_total: progress.files_total,
            sources: progress.sources.iter().map(Into::into).collect(),
        }
    }
}

impl From<&shoal_node::SourceStat> for PeerBytes {
    fn from(source: &shoal_node::SourceStat) -> Self {
        Self { peer: source.peer.to_string(), bytes: source.bytes }
    }
}

impl From<&shoal_node::Dropped> for Dropped {
    fn from(dropped: &shoal_node::Dropped) -> Self {
        Self { peer: dropped.peer.to_string(), reason: dropped.reason.clone() }
    }
}

impl From<&shoal_node::Awaited> for Waiting {
    fn from(other: &shoal_node::Awaited) -> Self {
        Self { path: text(&other.path), cid: other.cid.map(|cid| cid.to_string()), pid: other.pid }
    }
}

impl From<&shoal_node::Skipped> for Skipped {
    fn from(skipped: &shoal_node::Skipped) -> Self {
        Self { path: text(&skipped.path), reason: skipped.reason.to_string() }
    }
}

impl From<&shoal_node::Unreached> for Warning {
    fn from(peer: &shoal_node::Unreached) -> Self {
        Self { message: peer.to_string() }
    }
}

impl From<&shoal_node::Unreached> for Unreached {
    fn from(peer: &shoal_node::Unreached) -> Self {
        let addresses = peer.addresses.iter().map(ToString::to_string).collect();
        Self { addresses, reason: peer.reason.clone() }
    }
}

impl Published {
    /// What is known of it before it has a ticket.
    pub(crate) fn of(shared: &Shared) -> Self {
        Self {
            cid: shared.cid().to_string(),
            path: text(shared.path()),
            name: shared.name().to_owned(),
            size: shared.size(),
            files: shared.files(),
            hashed: shared.hashed_bytes(),
            unchanged: shared.unchanged_files(),
            skipped: count(shared.skipped().len()),
            ticket: None,
            elapsed_ms: 0,
        }
    }
}

/// What a path would be published as, with what was skipped and warned about before it.
pub fn events_of_naming(named: &shoal_node::Published, elapsed: Duration) -> Vec<Event> {
    let mut events: Vec<_> = named.skipped.iter().map(|skipped| Event::Skipped(skipped.into())).collect();
    events.extend(
        named.warnings.iter().map(|problem| Event::Warning(Warning { message: problem.to_string() })),
    );
    events.push(Event::Published(Published {
        cid: named.cid.to_string(),
        path: text(&named.path),
        name: named.name.clone(),
        size: named.size,
        files: named.files,
        hashed: named.hashed_bytes,
        unchanged: named.unchanged_files,
        skipped: count(named.skipped.len()),
        ticket: None,
        elapsed_ms: millis(elapsed),
    }));
    events
}

impl Announced {
    pub(crate) fn of(cid: &Cid, announced: shoal_node::Announced) -> Self {
        Self {
            cid: cid.to_string(),
            acknowledged: count(announced.acknowledged),
            asked: count(announced.asked),
            elapsed_ms: millis(announced.elapsed),
        }
    }
}

impl From<shoal_node::Fetched> for Fetched {
    fn from(fetched: shoal_node::Fetched) -> Self {
        Self {
            cid: fetched.cid.to_string(),
            path: Some(text(&fetched.path)),
            size: fetched.size,
            files: fetched.files,
            received: fetched.received,
            elapsed_ms: millis(fetched.elapsed),
            sources: fetched.sources.iter().map(Into::into).collect(),
            dropped: fetched.dropped.iter().map(Into::into).collect(),
            silent: fetched.silent.iter().map(ToString::to_string).collect(),
            already_there: fetched.already_there,
            merged: fetched.merged,
        }
    }
}

impl From<ContentsEntry> for Entry {
    fn from(entry: ContentsEntry) -> Self {
        Self {
            path: entry.path.to_string(),
            size: entry.size,
            executable: entry.executable,
            cid: entry.cid.to_string(),
        }
    }
}

impl From<&Contents> for Directory {
    fn from(contents: &Contents) -> Self {
        Self { files: count(contents.entries.len()), size: contents.size }
    }
}

impl From<shoal_node::Holder> for Holder {
    fn from(holder: shoal_node::Holder) -> Self {
        Self {
            peer: holder.peer.to_string(),
            addresses: holder.addresses.iter().map(ToString::to_string).collect(),
            complete: holder.complete,
            held: holder.held,
            size: holder.size,
            via: holder.via.word().to_owned(),
            round_trip_us: micros(holder.round_trip),
        }
    }
}

impl From<&FindSummary> for Looked {
    fn from(summary: &FindSummary) -> Self {
        Self {
            holders: count(summary.holders.len()),
            gone: count(summary.gone),
            silent: count(summary.silent),
            asked: count(summary.asked),
            hops: summary.hops.into(),
            messages: summary.messages.into(),
            timeouts: summary.timeouts.into(),
            directory: None,
            elapsed_ms: millis(summary.elapsed),
        }
    }
}

impl From<&shoal_node::Share> for Share {
    fn from(share: &shoal_node::Share) -> Self {
        let published = share.published_at.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            cid: share.cid.to_string(),
            path: text(&share.path),
            name: share.name.clone(),
            size: share.size,
            files: share.files,
            published_at: published.map_or(0, |since| since.as_secs()),
            state: match share.state {
                shoal_node::ShareState::Ok => "ok",
                shoal_node::ShareState::Changed => "changed",
                shoal_node::ShareState::Missing => "missing",
            }
            .to_owned(),
        }
    }
}

/// What to say of a path that was shared and of which the store lost what it knew.
pub fn lost(path: &Path) -> Warning {
    let path = text(path);
    Warning {
        message: format!(
            "{path} was shared, and the store was damaged since: a node that starts publishes it again, if it is there"
        ),
    }
}

impl Status {
    pub(crate) fn of(status: &shoal_node::Status, paths: &Paths) -> Self {
        let me = status.peer_id;
        let named = |address: &shoal_node::Multiaddr| {
            address.clone().with_p2p(me).unwrap_or_else(|named| named).to_string()
        };
        Self {
            version: status.version.to_owned(),
            peer_id: me.to_string(),
            network: status.network.to_string(),
            scope: match status.scopes {
                Scopes::Lan => "lan",
                Scopes::Wan => "wan",
                Scopes::Both => "both",
            }
            .to_owned(),
            announce: match status.announce {
                Announce::Files(_) => "files",
                Announce::Roots => "roots",
                Announce::Nothing => "none",
            }
            .to_owned(),
            pid: std::process::id(),
            home: text(&paths.home),
            uptime_s: status.uptime.as_secs(),
            addresses: status.addresses.iter().map(named).collect(),
            external: status.external.iter().map(named).collect(),
            peers: count(status.peers),
            members: count(status.members),
            tables: status.tables.iter().map(|(scope, nodes)| (scope.to_string(), count(*nodes))).collect(),
            overlays: status.overlays.iter().map(Into::into).collect(),
            problems: status.problems.clone(),
            records: count(status.records),
            shares: status.shares,
            announced: count(status.own_keys),
            sent: status.sent,
            received: status.received,
            sending: count(status.sending),
            jobs: count(status.jobs),
            panics: status.panics,
            unreached: status.unreached.iter().map(Into::into).collect(),
            mdns_failure: status.mdns_failure.clone(),
            rates: status.rates.into(),
            started_with: StartedWith {
                listen: status.listen.iter().map(ToString::to_string).collect(),
                external: status.external.iter().map(ToString::to_string).collect(),
                peers: status.named.iter().map(ToString::to_string).collect(),
                mdns: status.mdns,
            },
            limits: status.limits.iter().map(|(name, limit)| (name.replace(' ', "_"), *limit)).collect(),
        }
    }
}

impl From<&shoal_node::OverlayStats> for Overlay {
    fn from(stats: &shoal_node::OverlayStats) -> Self {
        Self {
            scope: stats.scope.to_string(),
            peers: count(stats.peers),
            buckets: count(stats.buckets),
            nodes: count(stats.nodes),
            serves: stats.serves,
            records: count(stats.records),
            keys: count(stats.keys),
            told: count(stats.told),
            waiting: count(stats.waiting),
            messages: count(stats.messages),
            sent: stats.sent,
            last_told_s: stats.last_told.map(|ago| ago.as_secs()),
        }
    }
}

impl From<shoal_node::Rates> for Rates {
    fn from(rates: shoal_node::Rates) -> Self {
        let bytes = |rate: Option<shoal_node::Rate>| rate.map(shoal_node::Rate::bytes);
        Self {
            up: bytes(rates.up),
            down: bytes(rates.down),
            up_per_peer: bytes(rates.up_per_peer),
            down_per_peer: bytes(rates.down_per_peer),
        }
    }
}

impl From<PeerInfo> for Peer {
    fn from(peer: PeerInfo) -> Self {
        Self {
            peer: peer.peer.to_string(),
            addresses: peer.addresses.iter().map(ToString::to_string).collect(),
            agent: peer.agent,
            direction: if peer.outgoing { "out" } else { "in" }.to_owned(),
            round_trip_us: peer.round_trip.map(micros),
            connected_s: peer.connected_for.as_secs(),
            member: peer.member,
        }
    }
}

/// What happened in a node, `None` for what this version of the schema cannot tell.
pub(crate) fn of_node(event: shoal_node::Event) -> Option<Event> {
    let peer = |peer: PeerId| PeerNamed { peer: peer.to_string() };
    let content = |cid: Cid| CidNamed { cid: cid.to_string() };
    match event {
        shoal_node::Event::Listening(address) => {
            Some(Event::Listening(AddressNamed { address: address.to_string() }))
        }
        shoal_node::Event::PeerConnected(id) => Some(Event::Connected(peer(id))),
        shoal_node::Event::PeerDisconnected(id) => Some(Event::Disconnected(peer(id))),
        shoal_node::Event::Published(cid) => Some(Event::Shared(content(cid))),
        shoal_node::Event::Fetched(cid) => Some(Event::Got(content(cid))),
        shoal_node::Event::ShareBroken(cid) => Some(Event::Broken(content(cid))),
        shoal_node::Event::Missed(count) => Some(Event::Missed(Missed { count })),
        _ => None,
    }
}

/// A path as text. What is not UTF-8 in it was never accepted by the API, so this loses nothing that it could name.
fn text(path: &Path) -> String {
    path.display().to_string()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
