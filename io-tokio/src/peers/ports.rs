//! The ports on which other servers find this one.

use super::Links;
use crate::settings::RunError;
use crate::sockets::{self, BACKLOG, TcpListener};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use tokio::net::lookup_host;
use tokio::time::{Duration, sleep};
use zoetrope_core::{HostPort, Link};

/// Between two attempts to open a port, as in Java.
const BIND_PAUSE: Duration = Duration::from_secs(1);

/// Opens a port, as often as is allowed, and accepts what comes; ends only with an error.
pub(super) async fn serve_port(links: Rc<Links>, link: Link, address: HostPort) -> RunError {
    let retries = links.settings.bind_retries;
    let mut failures = 0;
    let mut told = false;
    let listeners = loop {
        match bind(&links, link, &address, &mut told).await {
            Ok(listeners) => break listeners,
            Err((addr, error)) => {
                failures += 1;
                let port = super::port_name(link);
                if retries > 0 && failures > retries {
                    return RunError::PeerPort { port, addr, error };
                }
                links.complain(
                    &format!("bind {addr}"),
                    &format!(
                        "cannot listen on {addr}, the {port} port: {error}. Is another server \
                         running there? Trying again every second"
                    ),
                );
                sleep(BIND_PAUSE).await;
            }
        }
    };
    let accepting = listeners.into_iter().map(|listener| accept(links.clone(), link, listener));
    futures::future::join_all(accepting).await;
    std::future::pending().await
}

/// Every local address that the name stands for; all addresses if there is none, or if that is
/// wanted.
async fn bind(
    links: &Links,
    link: Link,
    address: &HostPort,
    told: &mut bool,
) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let HostPort { host, port } = address;
    if links.settings.listen_on_all {
        return Ok(vec![bind_all(links, *port).await?]);
    }
    let mut listeners = Vec::new();
    let why = match lookup_host((host.as_str(), *port)).await {
        Ok(found) => {
            let mut why = format!("{host} has no address");
            for addr in found {
                match sockets::listen(addr, links.settings.tcp_keepalive, BACKLOG).await {
                    Ok(listener) => listeners.push(listener),
                    Err(error) if is_taken(&error) => return Err((addr, error)),
                    Err(error) => {
                        why = format!("{} is no address of this machine: {error}", addr.ip());
                    }
                }
            }
            why
        }
        Err(error) => format!("{host} cannot be resolved: {error}"),
    };
    if listeners.is_empty() {
        if !std::mem::replace(told, true) {
            let name = super::port_name(link);
            tracing::warn!(
                "listening on all addresses, {name} port {port}: {why}. If that is not what you \
                 want, correct this server's own line in the configuration"
            );
        }
        listeners.push(bind_all(links, *port).await?);
    }
    Ok(listeners)
}

/// Both families, where the machine has both.
async fn bind_all(links: &Links, port: u16) -> Result<TcpListener, (SocketAddr, io::Error)> {
    let keepalive = links.settings.tcp_keepalive;
    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    if cfg!(not(madsim)) {
        let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        match sockets::listen(v6, keepalive, BACKLOG).await {
            Ok(listener) => return Ok(listener),
            Err(error) if is_taken(&error) => return Err((v6, error)),
            Err(_) => {}
        }
    }
    sockets::listen(v4, keepalive, BACKLOG).await.map_err(|error| (v4, error))
}

/// The address is there, but the port cannot be had.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
}

async fn accept(links: Rc<Links>, link: Link, listener: TcpListener) {
    #[cfg(not(madsim))]
    let descriptors = crate::descriptors::Descriptors::raise();
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                #[cfg(not(madsim))]
                if !descriptors.suffice_for_server(&stream) {
                    let port = super::port_name(link);
                    let text = format!(
                        "too many connections for the open files this process may have (ulimit -n): one to the {port} \
                         port is closed, from {from}"
                    );
                    links.complain(&format!("descriptors {port}"), &text);
                    continue;
                }
                // One socket may serve both families; a server is known by its own address.
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                let _ = stream.set_nodelay(true);
                links.accepted(link, stream, from);
            }
            Err(error) => {
                let port = super::port_name(link);
                let text =
                    format!("cannot accept a server on the {port} port: {error}; trying again");
                links.complain(&format!("accept {port}"), &text);
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
