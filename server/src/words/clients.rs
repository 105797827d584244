//! `srvr`, `stat` and `cons`: the server at a glance, and its connections (client protocol §5.2, §5.3).

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use zoetrope_core::{ConnStatus, Phase, SessionId, Status};
use zoetrope_io_tokio::View;

use super::{Traffic, decimal};
use crate::settings::WordSettings;
use crate::version;

pub(super) fn srvr(
    status: &Status,
    view: &View<'_>,
    settings: &WordSettings,
    traffic: Traffic,
) -> String {
    let mut text = String::new();
    write_version(&mut text, settings);
    write_warning(&mut text, status);
    write_glance(&mut text, status, view, traffic);
    text
}

pub(super) fn stat(
    status: &Status,
    view: &View<'_>,
    settings: &WordSettings,
    traffic: Traffic,
) -> String {
    let mut text = String::new();
    write_version(&mut text, settings);
    write_warning(&mut text, status);
    text.push_str("Clients:\n");
    for conn in others(view) {
        let _ = writeln!(text, " {}", brief(&conn));
    }
    let _ = writeln!(text, " {}\n", asker(view));
    write_glance(&mut text, status, view, traffic);
    text
}

pub(super) fn cons(view: &View<'_>) -> String {
    let mut text = String::new();
    for conn in others(view) {
        let _ = writeln!(text, " {}", whole(&conn));
    }
    let _ = writeln!(text, " {}\n", asker(view));
    text
}

/// Whoever asks has a line of its own: Java does not read from it while it answers.
fn others(view: &View<'_>) -> impl Iterator<Item = ConnStatus> {
    view.server.connections().filter(|conn| conn.conn != view.asking)
}

fn asker(view: &View<'_>) -> String {
    format!("{}[0](queued=0,recved=1,sent=0)", socket(view.peer.ip(), view.peer.port()))
}

fn write_version(text: &mut String, settings: &WordSettings) {
    let _ = writeln!(text, "Zookeeper version: {}", version::with_date(settings.date_format));
}

fn write_warning(text: &mut String, status: &Status) {
    if status.phase == Phase::ReadOnly {
        text.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
}

fn write_glance(text: &mut String, status: &Status, view: &View<'_>, traffic: Traffic) {
    let latency = &status.latency_ms;
    let mean = decimal(latency.mean());
    let _ = writeln!(text, "Latency min/avg/max: {}/{mean}/{}", latency.min, latency.max);
    let _ = writeln!(text, "Received: {}", status.packets_received + traffic.asked);
    let _ = writeln!(text, "Sent: {}", status.packets_sent + traffic.answered);
    let _ = writeln!(text, "Connections: {}", view.figures.open);
    let _ = writeln!(text, "Outstanding: {}", status.outstanding);
    let _ = writeln!(text, "Zxid: {}", status.zxid_applied);
    let _ = writeln!(text, "Mode: {}", status.phase.name());
    let _ = writeln!(text, "Node count: {}", status.znode_count);
}

fn brief(conn: &ConnStatus) -> String {
    format!(
        "{}[{}](queued={},recved={},sent={})",
        socket(conn.addr, conn.port),
        u8::from(!conn.paused),
        conn.outstanding,
        conn.received,
        conn.sent
    )
}

fn whole(conn: &ConnStatus) -> String {
    let mut text = brief(conn);
    if conn.session == SessionId::NONE {
        return text;
    }
    // Java prints the xid as a long, so a negative one has sixteen digits.
    let last_xid = i64::from(conn.last_xid.0);
    let latency = &conn.latency_ms;
    text.truncate(text.len() - 1);
    let _ = write!(
        text,
        ",sid={},lop={},est={},to={},lcxid=0x{last_xid:x},lzxid={},lresp={},llat={},minlat={},avglat={},maxlat={})",
        conn.session,
        conn.last_op,
        conn.established_ms,
        conn.timeout_ms,
        conn.last_zxid,
        conn.last_response.as_ms(),
        conn.last_latency_ms,
        latency.min,
        latency.mean() as u64,
        latency.max
    );
    text
}

/// As Java prints an address without a name: `/127.0.0.1:2181`, `/[0:0:0:0:0:0:0:1]:2181`.
pub(super) fn socket(addr: IpAddr, port: u16) -> String {
    match addr.to_canonical() {
        IpAddr::V4(addr) => format!("/{}", SocketAddr::from((addr, port))),
        IpAddr::V6(addr) => {
            let groups = addr.segments().map(|group| format!("{group:x}"));
            format!("/[{}]:{port}", groups.join(":"))
        }
    }
}
