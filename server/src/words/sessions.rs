//! `dump`: sessions and connections by the moment they expire, and ephemerals by owner (client protocol §5.6).

use std::collections::BTreeMap;
use std::fmt::Write;

use zoetrope_core::calendar::Date;
use zoetrope_core::{Instant, Now, Phase, SessionId, SessionStatus};
use zoetrope_io_tokio::View;

use super::clients::socket;

pub(super) fn dump(view: &View<'_>) -> String {
    let mut text = String::from("SessionTracker dump:\n");
    let deadlines: BTreeMap<SessionId, Instant> =
        view.server.sessions().map(|session| (session.session, session.deadline)).collect();
    write_sessions(&mut text, view);
    let owners: Vec<_> = view.server.ephemerals().collect();
    let _ = writeln!(text, "ephemeral nodes dump:\nSessions with Ephemerals ({}):", owners.len());
    for (session, mut paths) in owners {
        paths.sort_unstable();
        let _ = writeln!(text, "{session}:");
        for path in paths {
            let _ = writeln!(text, "\t{path}");
        }
    }

    text.push_str("Connections dump:\n");
    write_sets(&mut text, "Connections Sets", view.now, connections(view, &deadlines).into_iter());
    text
}

/// Who keeps track of which sessions: a learner knows of global ones only how long their timeouts are.
fn write_sessions(text: &mut String, view: &View<'_>) {
    let (local, global): (Vec<_>, Vec<_>) = view.server.sessions().partition(|one| one.local);
    let line = |one: &SessionStatus| (one.deadline, one.session.to_string());
    let learns =
        matches!(view.server.status().phase, Phase::Following | Phase::Observing | Phase::ReadOnly);
    let has_local = view.settings.core.local_sessions && view.settings.core.ensemble.is_some();
    if has_local {
        write_sets(text, "Local Session Sets", view.now, local.iter().map(line));
    }
    if !learns {
        let title = if has_local { "Global Session Sets" } else { "Session Sets" };
        return write_sets(text, title, view.now, global.iter().map(line));
    }
    let _ = writeln!(text, "Global Sessions({}):", global.len());
    for one in global {
        let _ = writeln!(text, "{}\t{}ms", one.session, one.timeout_ms);
    }
}

/// A connection expires with its session; one without a session when its time for a connect request is up.
fn connections(
    view: &View<'_>,
    deadlines: &BTreeMap<SessionId, Instant>,
) -> Vec<(Instant, String)> {
    let handshake_ms = u64::from(view.settings.core.limits.handshake_ms.max(1));
    // Java looks for silent connections that often.
    let round = |at: Instant| Instant::from_ms((at.as_ms() / handshake_ms + 1) * handshake_ms);
    let line = |addr, port, session| format!("ip: {} sessionId: {session}", socket(addr, port));
    let others = view.server.connections().filter(|conn| conn.conn != view.asking);
    let mut all: Vec<_> = others
        .map(|conn| {
            let left_ms = conn.established_ms + handshake_ms as i64 - view.now.wall_ms;
            let handshake = view.now.mono.plus_ms(left_ms.max(0) as u64);
            let deadline = deadlines.get(&conn.session).copied().unwrap_or(handshake);
            (round(deadline), line(conn.addr, conn.port, conn.session))
        })
        .collect();
    let asker = line(view.peer.ip(), view.peer.port(), SessionId::NONE);
    all.push((round(view.now.mono.plus_ms(handshake_ms)), asker));
    all
}

fn write_sets(
    text: &mut String,
    title: &str,
    now: Now,
    lines: impl Iterator<Item = (Instant, String)>,
) {
    let mut sets: BTreeMap<Instant, Vec<String>> = BTreeMap::new();
    for (deadline, line) in lines {
        sets.entry(deadline).or_default().push(line);
    }
    let count: usize = sets.values().map(Vec::len).sum();
    let _ = writeln!(text, "{title} ({})/({count}):", sets.len());
    for (deadline, lines) in sets {
        let _ = writeln!(text, "{} expire at {}:", lines.len(), java_date(wall_ms(now, deadline)));
        for line in lines {
            let _ = writeln!(text, "\t{line}");
        }
    }
}

fn wall_ms(now: Now, deadline: Instant) -> i64 {
    now.wall_ms + deadline.as_ms() as i64 - now.mono.as_ms() as i64
}

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Like Java's `Date.toString`: `Sun Nov 22 14:34:40 UTC 2026`.
fn java_date(wall_ms: i64) -> String {
    let Date { year, month, day, weekday, hour, minute, second, .. } = Date::of(wall_ms);
    let (weekday, month) = (WEEKDAYS[weekday as usize], MONTHS[month as usize - 1]);
    format!("{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_look_like_javas() {
        for (wall_ms, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (1_795_358_080_000, "Sun Nov 22 14:34:40 UTC 2026"),
            (951_782_399_999, "Mon Feb 28 23:59:59 UTC 2000"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
        ] {
            assert_eq!(java_date(wall_ms), text);
        }
    }
}
