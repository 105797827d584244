//! Sockets as the operating system gives them, or madsim in its place.

use std::io;
use std::net::SocketAddr;

#[cfg(madsim)]
pub(crate) use crate::simulated::{TcpListener, TcpStream};
#[cfg(not(madsim))]
pub(crate) use tokio::net::{TcpListener, TcpStream};

/// Connections that may wait to be accepted. Java's 50 loses some when a whole fleet reconnects at
/// once.
pub(crate) const BACKLOG: u32 = 1024;

/// Opens a port. Accepted sockets inherit `keepalive`.
pub(crate) async fn listen(
    addr: SocketAddr,
    keepalive: bool,
    backlog: u32,
) -> io::Result<TcpListener> {
    #[cfg(not(madsim))]
    {
        let socket = socket_for(addr)?;
        socket.set_reuseaddr(true)?;
        socket.set_keepalive(keepalive)?;
        socket.bind(addr)?;
        socket.listen(backlog)
    }
    #[cfg(madsim)]
    {
        let _ = (keepalive, backlog);
        TcpListener::bind(addr).await
    }
}

/// Connects to one address.
pub(crate) async fn connect(addr: SocketAddr, keepalive: bool) -> io::Result<TcpStream> {
    #[cfg(not(madsim))]
    let stream = {
        let socket = socket_for(addr)?;
        socket.set_keepalive(keepalive)?;
        socket.connect(addr).await?
    };
    #[cfg(madsim)]
    let stream = {
        let _ = keepalive;
        TcpStream::connect(addr).await?
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(not(madsim))]
fn socket_for(addr: SocketAddr) -> io::Result<tokio::net::TcpSocket> {
    match addr.is_ipv4() {
        true => tokio::net::TcpSocket::new_v4(),
        false => tokio::net::TcpSocket::new_v6(),
    }
}
