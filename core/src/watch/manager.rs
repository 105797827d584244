//! The two watch tables (client protocol §3.12). Watches belong to connections, not to sessions. Sends nothing: each
//! event goes to the caller, who checks whether its connection may see it.

use crate::ids::ConnId;
use crate::planted::{Plant, planted};
use crate::tree::{Change, path};
use crate::wire::{Acl, EventType, WatcherType};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where events go: to whom, what happened, where, and the ACL its receiver needs READ on.
pub(crate) type Send<'a> = &'a mut dyn FnMut(ConnId, EventType, &str, &[Acl]);

/// How a watch came to be, which decides its tables and how long it stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WatchKind {
    /// exists and getData: fires once.
    Data,
    /// getChildren: fires once.
    Children,
    /// addWatch: stays.
    Persistent,
    /// addWatch: stays, and covers everything below.
    Recursive,
}

/// The modes of one connection's entry for one path.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
struct Modes(u8);

impl Modes {
    const STANDARD: Self = Self(1);
    const PERSISTENT: Self = Self(2);
    const RECURSIVE: Self = Self(4);
    const ANY: Self = Self(7);

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Watches by path and connection.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
struct Table {
    paths: BTreeMap<Arc<str>, BTreeMap<ConnId, Modes>>,
    entries: usize,
    recursive: usize,
}

impl Table {
    fn modes(&self, conn: ConnId, path: &str) -> Modes {
        self.paths.get(path).and_then(|all| all.get(&conn)).copied().unwrap_or_default()
    }

    fn add(&mut self, conn: ConnId, path: &Arc<str>, mode: Modes) {
        let all = self.paths.entry(path.clone()).or_default();
        let modes = all.entry(conn).or_insert_with(|| {
            self.entries += 1;
            Modes::default()
        });
        if mode.has(Modes::RECURSIVE) && !modes.has(Modes::RECURSIVE) {
            self.recursive += 1;
        }
        *modes = modes.with(mode);
    }

    fn remove(&mut self, conn: ConnId, path: &str, mode: Modes) {
        let Some(all) = self.paths.get_mut(path) else { return };
        let Some(modes) = all.get_mut(&conn) else { return };
        if mode.has(Modes::RECURSIVE) && modes.has(Modes::RECURSIVE) {
            self.recursive -= 1;
        }
        *modes = modes.without(mode);
        if *modes == Modes::default() {
            all.remove(&conn);
            self.entries -= 1;
            if all.is_empty() {
                self.paths.remove(path);
            }
        }
    }

    /// The connections that hear of a change at `path`; one-shot entries are used up.
    fn fire(&mut self, path: &str) -> Vec<ConnId> {
        let mut hear: Vec<ConnId> = Vec::new();
        if let Some(all) = self.paths.get_mut(path) {
            hear.extend(all.keys());
            let before = all.len();
            all.retain(|_, modes| {
                if !planted(Plant::WatchFiresTwice) {
                    *modes = modes.without(Modes::STANDARD);
                }
                *modes != Modes::default()
            });
            self.entries -= before - all.len();
            if all.is_empty() {
                self.paths.remove(path);
            }
        }
        if self.recursive > 0 {
            let levels = if planted(Plant::RecursiveIsShallow) { 1 } else { usize::MAX };
            for above in path::with_ancestors(path).skip(1).take(levels) {
                let all = self.paths.get(above).into_iter().flatten();
                hear.extend(all.filter(|(_, m)| m.has(Modes::RECURSIVE)).map(|(conn, _)| *conn));
            }
        }
        // One event per connection, however many of its watches match.
        hear.sort_unstable();
        hear.dedup();
        hear
    }
}

/// Both tables.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub(crate) struct WatchManager {
    data: Table,
    child: Table,
    /// What each connection watches, in either table.
    by_conn: BTreeMap<ConnId, BTreeSet<Arc<str>>>,
}

impl WatchManager {
    /// Registers a watch. Registering it again changes nothing.
    pub(crate) fn add(&mut self, conn: ConnId, path: &str, kind: WatchKind) {
        let mine = self.by_conn.entry(conn).or_default();
        let path = match mine.get(path) {
            Some(path) => path.clone(),
            None => {
                let path: Arc<str> = Arc::from(path);
                mine.insert(path.clone());
                path
            }
        };
        match kind {
            WatchKind::Data => self.data.add(conn, &path, Modes::STANDARD),
            WatchKind::Children => self.child.add(conn, &path, Modes::STANDARD),
            WatchKind::Persistent => {
                self.data.add(conn, &path, Modes::PERSISTENT);
                self.child.add(conn, &path, Modes::PERSISTENT);
            }
            WatchKind::Recursive => self.data.add(conn, &path, Modes::RECURSIVE),
        }
    }

    /// Does the connection have such a watch?
    pub(crate) fn has(&self, conn: ConnId, path: &str, kind: WatcherType) -> bool {
        let (data, child) = modes_of(kind);
        self.data.modes(conn, path).has(data) || self.child.modes(conn, path).has(child)
    }

    /// Removes such a watch; false when there was none.
    pub(crate) fn remove(&mut self, conn: ConnId, path: &str, kind: WatcherType) -> bool {
        if !self.has(conn, path, kind) {
            return false;
        }
        let (mut data, mut child) = modes_of(kind);
        if planted(Plant::AllWatchesRemoved) {
            (data, child) = (Modes::ANY, Modes::ANY);
        }
        self.data.remove(conn, path, data);
        self.child.remove(conn, path, child);
        self.forget_if_gone(conn, path);
        true
    }

    /// The connection is gone, and its watches with it.
    pub(crate) fn remove_conn(&mut self, conn: ConnId) {
        for path in self.by_conn.remove(&conn).unwrap_or_default() {
            self.data.remove(conn, &path, Modes::ANY);
            self.child.remove(conn, &path, Modes::ANY);
        }
    }

    fn forget_if_gone(&mut self, conn: ConnId, path: &str) {
        if self.has(conn, path, WatcherType::Any) {
            return;
        }
        if let Some(mine) = self.by_conn.get_mut(&conn) {
            mine.remove(path);
            if mine.is_empty() {
                self.by_conn.remove(&conn);
            }
        }
    }

    /// Tells `send` of every event the change means, in the order clients must see them.
    pub(crate) fn trigger(&mut self, change: &Change<'_>, send: Send<'_>) {
        if self.by_conn.is_empty() {
            return;
        }
        let heard = self.data.fire(change.path);
        for conn in &heard {
            send(*conn, change.kind, change.path, change.acl);
            self.forget_if_gone(*conn, change.path);
        }
        if change.kind == EventType::Deleted {
            for conn in self.child.fire(change.path) {
                // The deletion is told once, though both kinds of watches are used up.
                if heard.binary_search(&conn).is_err() || planted(Plant::DeletionToldTwice) {
                    send(conn, EventType::Deleted, change.path, change.acl);
                }
                self.forget_if_gone(conn, change.path);
            }
        }
        let untold = planted(Plant::ChildDeletionUntold) && change.kind == EventType::Deleted;
        if let Some((parent, acl)) = change.parent.filter(|_| !untold) {
            for conn in self.child.fire(parent) {
                send(conn, EventType::ChildrenChanged, parent, acl);
                self.forget_if_gone(conn, parent);
            }
        }
    }

    /// Entries of both tables.
    pub(crate) fn len(&self) -> usize {
        self.data.entries + self.child.entries
    }

    /// The data table: paths and the connections that watch them.
    pub(crate) fn data_watches(
        &self,
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnId>)> {
        self.data.paths.iter().map(|(path, all)| (&**path, all.keys().copied()))
    }
}

/// What a watcher type means in the data and in the child table.
fn modes_of(kind: WatcherType) -> (Modes, Modes) {
    match kind {
        WatcherType::Children => (Modes::default(), Modes::STANDARD),
        WatcherType::Data => (Modes::STANDARD, Modes::default()),
        WatcherType::Any => (Modes::ANY, Modes::ANY),
        WatcherType::Persistent => (Modes::PERSISTENT, Modes::PERSISTENT),
        WatcherType::Recursive => (Modes::RECURSIVE, Modes::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Perms;

    const ME: ConnId = ConnId(1);
    const YOU: ConnId = ConnId(2);

    fn fire(
        watches: &mut WatchManager,
        kind: EventType,
        path: &str,
    ) -> Vec<(u64, EventType, String)> {
        let mut events = Vec::new();
        let parent = path::split(path).filter(|_| kind != EventType::DataChanged);
        let change =
            Change { kind, path, acl: &[], parent: parent.map(|(parent, _)| (parent, &[][..])) };
        watches.trigger(&change, &mut |conn, kind, path, _| {
            events.push((conn.0, kind, path.to_owned()));
        });
        events
    }

    #[test]
    fn a_deletion_is_told_once_and_uses_up_both_watches() {
        let mut watches = WatchManager::default();
        watches.add(ME, "/p/c", WatchKind::Data);
        watches.add(ME, "/p/c", WatchKind::Children);
        watches.add(YOU, "/p/c", WatchKind::Children);
        watches.add(ME, "/p", WatchKind::Children);
        let told = |conn, kind, path: &str| (conn, kind, path.to_owned());
        assert_eq!(
            fire(&mut watches, EventType::Deleted, "/p/c"),
            [
                told(1, EventType::Deleted, "/p/c"),
                told(2, EventType::Deleted, "/p/c"),
                told(1, EventType::ChildrenChanged, "/p"),
            ]
        );
        assert_eq!(watches.len(), 0);
        assert!(watches.by_conn.is_empty());
    }

    #[test]
    fn a_recursive_watch_hears_of_everything_below_once_and_stays() {
        let mut watches = WatchManager::default();
        watches.add(ME, "/", WatchKind::Recursive);
        watches.add(ME, "/a", WatchKind::Persistent);
        watches.add(ME, "/a", WatchKind::Data);
        let told = |kind, path: &str| (1, kind, path.to_owned());
        for _ in 0..2 {
            let events = fire(&mut watches, EventType::DataChanged, "/a");
            assert_eq!(events, [told(EventType::DataChanged, "/a")]);
        }
        assert_eq!(
            fire(&mut watches, EventType::Created, "/a/b"),
            [told(EventType::Created, "/a/b"), told(EventType::ChildrenChanged, "/a")]
        );
        assert!(watches.has(ME, "/a", WatcherType::Persistent));
        assert!(!watches.has(ME, "/a", WatcherType::Data));
        watches.remove_conn(ME);
        assert_eq!((watches.len(), watches.data.recursive, watches.child.entries), (0, 0, 0));
    }

    #[test]
    fn removing_takes_only_what_was_named() {
        let mut watches = WatchManager::default();
        watches.add(ME, "/a", WatchKind::Data);
        watches.add(ME, "/a", WatchKind::Recursive);
        assert!(!watches.remove(ME, "/a", WatcherType::Children));
        assert!(!watches.remove(YOU, "/a", WatcherType::Any));
        assert!(watches.remove(ME, "/a", WatcherType::Recursive));
        assert!(watches.has(ME, "/a", WatcherType::Any));
        assert!(watches.remove(ME, "/a", WatcherType::Any));
        assert!(watches.by_conn.is_empty());
    }

    #[test]
    fn each_change_is_told_to_its_own_kind_of_watch() {
        let mut watches = WatchManager::default();
        let told = |kind, path: &str| (1, kind, path.to_owned());
        watches.add(ME, "/p", WatchKind::Children);
        assert_eq!(fire(&mut watches, EventType::DataChanged, "/p"), []);
        assert_eq!(fire(&mut watches, EventType::DataChanged, "/p/c"), []);
        watches.add(ME, "/p/c", WatchKind::Children);
        assert_eq!(
            fire(&mut watches, EventType::Created, "/p/c"),
            [told(EventType::ChildrenChanged, "/p")],
            "a znode that begins has no children to watch"
        );
        watches.add(ME, "/p", WatchKind::Data);
        assert_eq!(
            fire(&mut watches, EventType::Deleted, "/p/c"),
            [told(EventType::Deleted, "/p/c")],
            "the data of its parent is what it was"
        );
        let changed = [told(EventType::DataChanged, "/p")];
        assert_eq!(fire(&mut watches, EventType::DataChanged, "/p"), changed);
        assert_eq!(fire(&mut watches, EventType::DataChanged, "/p"), [], "once");
    }

    #[test]
    fn a_connection_is_told_once_however_many_of_its_watches_match() {
        let mut watches = WatchManager::default();
        watches.add(YOU, "/a/b", WatchKind::Data);
        for conn in [ME, YOU] {
            watches.add(conn, "/a", WatchKind::Recursive);
            watches.add(conn, "/", WatchKind::Recursive);
            watches.add(conn, "/a/b", WatchKind::Children);
        }
        let both = |kind| [1, 2].map(|conn| (conn, kind, "/a/b".to_owned()));
        for kind in [EventType::DataChanged, EventType::Deleted] {
            assert_eq!(fire(&mut watches, kind, "/a/b"), both(kind));
        }
    }

    #[test]
    fn a_persistent_watch_hears_of_znode_and_children_and_stays() {
        let mut watches = WatchManager::default();
        watches.add(ME, "/p", WatchKind::Persistent);
        let told = |kind, path: &str| (1, kind, path.to_owned());
        for _ in 0..2 {
            for kind in [EventType::Created, EventType::DataChanged, EventType::Deleted] {
                assert_eq!(fire(&mut watches, kind, "/p"), [told(kind, "/p")]);
            }
            for kind in [EventType::Created, EventType::Deleted] {
                let children = [told(EventType::ChildrenChanged, "/p")];
                assert_eq!(fire(&mut watches, kind, "/p/c"), children);
            }
            assert_eq!(fire(&mut watches, EventType::DataChanged, "/p/c"), []);
        }
        assert_eq!(watches.len(), 2);
    }

    #[test]
    fn only_a_recursive_watch_hears_of_what_is_deeper() {
        let mut watches = WatchManager::default();
        watches.add(ME, "/a", WatchKind::Recursive);
        watches.add(YOU, "/a", WatchKind::Persistent);
        watches.add(YOU, "/", WatchKind::Data);
        let told = |conn, kind, path: &str| (conn, kind, path.to_owned());
        assert_eq!(
            fire(&mut watches, EventType::Created, "/a/b/c"),
            [told(1, EventType::Created, "/a/b/c")]
        );
        assert_eq!(
            fire(&mut watches, EventType::Deleted, "/a/b"),
            [told(1, EventType::Deleted, "/a/b"), told(2, EventType::ChildrenChanged, "/a"),]
        );
        assert_eq!(fire(&mut watches, EventType::DataChanged, "/ab"), []);
        // The last of them is gone, and those that stay cover no more than before.
        assert!(watches.remove(ME, "/a", WatcherType::Recursive));
        assert_eq!(fire(&mut watches, EventType::DataChanged, "/a/b/c"), []);
        assert_eq!(watches.data.recursive, 0);
    }

    #[test]
    fn the_watches_of_all_connections_are_told_with_the_acl_of_what_changed() {
        let mut watches = WatchManager::default();
        watches.add(YOU, "/p/c", WatchKind::Data);
        watches.add(ME, "/p/c", WatchKind::Recursive);
        watches.add(ME, "/p", WatchKind::Children);
        let (child, parent) = ([Acl::world(Perms::READ)], [Acl::world(Perms::ALL)]);
        let above = Some(("/p", &parent[..]));
        let change = Change { kind: EventType::Deleted, path: "/p/c", acl: &child, parent: above };
        let mut told = Vec::new();
        watches.trigger(&change, &mut |conn, kind, path, acl| {
            told.push((conn, kind, path.to_owned(), acl.to_vec()));
        });
        let gone = |conn| (conn, EventType::Deleted, "/p/c".to_owned(), child.to_vec());
        let changed = (ME, EventType::ChildrenChanged, "/p".to_owned(), parent.to_vec());
        assert_eq!(told, [gone(ME), gone(YOU), changed]);
    }

    #[test]
    fn a_watch_counts_once_in_each_table_however_often_it_is_set() {
        let mut watches = WatchManager::default();
        for _ in 0..2 {
            for kind in [WatchKind::Data, WatchKind::Children, WatchKind::Recursive] {
                watches.add(ME, "/a", kind);
            }
            watches.add(YOU, "/a", WatchKind::Persistent);
            watches.add(ME, "/b", WatchKind::Data);
            assert_eq!(watches.len(), 5);
        }
        assert!(watches.remove(ME, "/b", WatcherType::Data));
        assert_eq!(watches.len(), 4);
        assert!(watches.remove(YOU, "/a", WatcherType::Persistent));
        assert_eq!(watches.len(), 2);
        assert!(watches.remove(ME, "/a", WatcherType::Data));
        assert_eq!(watches.len(), 2, "the recursive one is still there");
        watches.remove_conn(ME);
        assert_eq!((watches.len(), watches.data.recursive), (0, 0));
    }

    /// `wchp` and `wchs` show what is listed.
    #[test]
    fn a_path_that_nobody_watches_any_more_is_not_listed() {
        let mut watches = WatchManager::default();
        let listed = |watches: &WatchManager| -> Vec<(String, Vec<ConnId>)> {
            watches.data_watches().map(|(path, conns)| (path.to_owned(), conns.collect())).collect()
        };
        for conn in [ME, YOU] {
            watches.add(conn, "/a", WatchKind::Data);
        }
        watches.add(ME, "/b", WatchKind::Persistent);
        watches.add(ME, "/c", WatchKind::Children);
        let both = [("/a".to_owned(), vec![ME, YOU]), ("/b".to_owned(), vec![ME])];
        assert_eq!(listed(&watches), both);
        assert!(watches.remove(ME, "/a", WatcherType::Any));
        assert!(watches.remove(ME, "/b", WatcherType::Any));
        assert_eq!(listed(&watches), [("/a".to_owned(), vec![YOU])]);
        fire(&mut watches, EventType::DataChanged, "/a");
        assert_eq!(listed(&watches), []);
        assert_eq!(watches.by_conn.keys().collect::<Vec<_>>(), [&ME], "the other one has none");
        watches.remove_conn(ME);
        assert_eq!((watches.data.paths.len(), watches.child.paths.len()), (0, 0));
    }

    #[test]
    fn each_kind_of_watch_is_found_and_removed_by_its_name() {
        use WatcherType as Type;
        let names = [Type::Children, Type::Data, Type::Persistent, Type::Recursive];
        for (kind, name) in [
            (WatchKind::Children, Type::Children),
            (WatchKind::Data, Type::Data),
            (WatchKind::Persistent, Type::Persistent),
            (WatchKind::Recursive, Type::Recursive),
        ] {
            let mut watches = WatchManager::default();
            watches.add(ME, "/a", kind);
            for other in names.into_iter().filter(|other| *other != name) {
                assert!(!watches.has(ME, "/a", other), "{kind:?} is no {other:?}");
                assert!(!watches.remove(ME, "/a", other));
            }
            for (conn, path) in [(YOU, "/a"), (ME, "/"), (ME, "/a/b")] {
                assert!(!watches.has(conn, path, Type::Any));
            }
            assert!(watches.has(ME, "/a", name) && watches.has(ME, "/a", Type::Any));
            assert!(watches.remove(ME, "/a", name));
            assert!(!watches.has(ME, "/a", Type::Any));
            assert_eq!((watches.len(), watches.by_conn.len()), (0, 0));
        }
    }
}
