//! `wchs`, `wchc` and `wchp`: the data watches, counted, by session and by path. Child watches are not
//! shown, as in Java.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use zoetrope_core::{ConnId, Server, SessionId};

pub(super) fn wchs(server: &Server) -> String {
    let mut watchers = BTreeSet::new();
    let (mut paths, mut total) = (0u64, 0u64);
    for (_, conns) in server.data_watches() {
        paths += 1;
        total += conns.len() as u64;
        watchers.extend(conns);
    }
    format!("{} connections watching {paths} paths\nTotal watches:{total}\n", watchers.len())
}

pub(super) fn wchc(server: &Server) -> String {
    let sessions = sessions(server);
    let mut by_session: BTreeMap<SessionId, BTreeSet<String>> = BTreeMap::new();
    for (path, conns) in server.data_watches() {
        for session in conns.iter().filter_map(|conn| sessions.get(conn)) {
            by_session.entry(*session).or_default().insert(path.clone());
        }
    }
    let mut text = String::new();
    for (session, paths) in by_session {
        let _ = writeln!(text, "{session}");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }
    text.push('\n');
    text
}

pub(super) fn wchp(server: &Server) -> String {
    let sessions = sessions(server);
    let by_path: BTreeMap<String, Vec<ConnId>> = server.data_watches().collect();
    let mut text = String::new();
    for (path, conns) in by_path {
        let _ = writeln!(text, "{path}");
        for session in conns.iter().filter_map(|conn| sessions.get(conn)) {
            let _ = writeln!(text, "\t{session}");
        }
    }
    text.push('\n');
    text
}

fn sessions(server: &Server) -> BTreeMap<ConnId, SessionId> {
    server.connections().map(|conn| (conn.conn, conn.session)).collect()
}
