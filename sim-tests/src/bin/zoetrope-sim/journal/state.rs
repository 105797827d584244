//! A server at some moment, in lines.

use std::collections::BTreeMap;
use zoetrope_core::{Now, Server};

/// Sessions and connections that are shown; of more only the number.
const SHOWN: usize = 50;

/// What it is.
pub(super) fn lines(server: &Server, now: Now, znode: Option<&str>) -> Vec<String> {
    let (check, marks, status) = (server.checkpoint(), server.marks(), server.status());
    let mut lines = Vec::new();
    let mut say = |name: &str, text: String| lines.push(format!("{name:<12}{text}"));
    let leader = marks.leader.map_or_else(String::new, |sid| format!(", elected leader {sid}"));
    say("role", format!("{}{leader}", check.phase));
    say("epochs", format!("accepted {}, current {}", check.epochs.0.0, check.epochs.1.0));
    say(
        "zxids",
        format!(
            "applied {}, committed {}, proposed {}",
            check.zxid_applied, check.zxid_committed, check.zxid_proposed
        ),
    );
    let durable = marks.zxid_durable.map_or_else(|| "none".to_owned(), |zxid| zxid.to_string());
    say(
        "log",
        format!(
            "{}, {} bytes appended by this process, {} of them not known to be durable; last durable txn of its own: {durable}",
            marks.log.as_deref().unwrap_or("no file"),
            marks.log_appended,
            marks.log_in_flight
        ),
    );
    say("history", format!("{} to {} in memory", marks.history.0, marks.history.1));
    if let Some(leading) = status.leader {
        say(
            "learners",
            format!(
                "{} connected, {} followers and {} observers level, {} txns in flight",
                leading.learners,
                leading.synced_followers,
                leading.synced_observers,
                leading.pending
            ),
        );
    }
    say("tree", format!("{} znodes, digest {}", check.znodes, check.tree));
    say("watches", check.watches.to_string());
    say(
        "connections",
        format!(
            "{}, {} requests taken in and not answered",
            status.connections, status.outstanding
        ),
    );
    sessions(server, now, &mut lines);
    if let Some(path) = znode {
        self::znode(server, path, &mut lines);
    }
    lines
}

fn sessions(server: &Server, now: Now, lines: &mut Vec<String>) {
    let mut conns: BTreeMap<_, _> = BTreeMap::new();
    for conn in server.connections() {
        conns.insert(conn.session, (conn.conn, conn.addr, conn.port));
    }
    let all = server.sessions().count();
    lines.push(format!("{:<12}{all}", "sessions"));
    for session in server.sessions().take(SHOWN) {
        let left = session.deadline.0 as i64 - now.mono.0 as i64;
        let place = conns.get(&session.session).map_or_else(
            || "no connection here".to_owned(),
            |(conn, addr, port)| format!("{conn} from {addr}:{port}"),
        );
        lines.push(format!(
            "  {}  timeout {} ms, {} ms left{}, {place}",
            session.session,
            session.timeout_ms,
            left / 1000,
            if session.local { ", local" } else { "" },
        ));
    }
    if all > SHOWN {
        lines.push(format!("  and {} more", all - SHOWN));
    }
}

fn znode(server: &Server, path: &str, lines: &mut Vec<String>) {
    let Some(znode) = server.znode(path) else {
        return lines.push(format!("{path:<12}there is no such znode"));
    };
    let (stat, data) = (znode.stat, znode.data.unwrap_or_default());
    lines.push(format!(
        "{path:<12}{} bytes: {:?}{}",
        data.len(),
        String::from_utf8_lossy(&data[..data.len().min(100)]),
        if data.len() > 100 { " …" } else { "" }
    ));
    lines.push(format!(
        "  czxid {}, mzxid {}, pzxid {}, versions {} {} {}, owner 0x{:x}",
        stat.czxid,
        stat.mzxid,
        stat.pzxid,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.ephemeral_owner
    ));
    let acl = znode.acl.iter().map(|acl| format!("{}:{} {}", acl.scheme, acl.id, acl.perms.0));
    lines.push(format!("  acl {}", acl.collect::<Vec<_>>().join(", ")));
    let names: Vec<&str> = znode.children.iter().take(20).map(String::as_str).collect();
    lines.push(format!("  {} children: {}", znode.children.len(), names.join(" ")));
}
