//! TCP as an operating system gives it, over madsim's, which never refuses a byte: a socket takes what fits into the
//! window, sometimes less; it ends in one direction; it is reset, also by whoever closes it over unread bytes; and when a
//! machine dies, nobody may be told.

use madsim::rand::{Rng, thread_rng};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How sockets behave in a run.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Bytes that may be on their way or unread in one direction of a connection.
    pub window: usize,
    /// One write or read in so many is cut short; 0: none.
    pub short: u32,
    /// One call of `accept` in so many fails; 0: none.
    pub accept_errors: u32,
}

/// How long a connection to a machine that does not answer is waited for.
const NO_ANSWER: Duration = Duration::from_secs(127);

/// One direction of a connection.
#[derive(Default)]
struct Way {
    sent: u64,
    read: u64,
    /// Nothing comes behind so many bytes.
    ends_at: Option<u64>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Way {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Well,
    /// One end is gone, and the other one does not know.
    Silent,
    /// That end is back, and knows nothing of the connection: whoever writes will hear so.
    Forgotten,
    Reset,
}

/// A connection.
struct Line {
    /// The addresses of its ends.
    ends: [IpAddr; 2],
    /// By the end that writes.
    ways: [Way; 2],
    /// Ends that nobody holds any more.
    gone: [bool; 2],
    health: Health,
}

impl Line {
    fn harm(&mut self, health: Health) {
        self.health = health;
        self.ways.iter_mut().for_each(Way::wake);
    }
}

struct Net {
    weather: Weather,
    last: u16,
    lines: Vec<Weak<RefCell<Line>>>,
    /// Opened and not accepted, in the order in which that will be. A port may be used again before it was.
    knocking: BTreeMap<(SocketAddr, SocketAddr), VecDeque<(u16, Rc<RefCell<Line>>)>>,
    /// Machines from which no packet comes and which none reaches.
    dark: BTreeSet<IpAddr>,
}

thread_local! {
    static NET: RefCell<Option<Net>> = const { RefCell::new(None) };
}

fn with_net<T>(work: impl FnOnce(&mut Net) -> T) -> T {
    NET.with(|net| {
        let mut net = net.borrow_mut();
        let calm = Weather { window: 64 << 10, short: 0, accept_errors: 0 };
        let new = || Net {
            weather: calm,
            last: 1024,
            lines: Vec::new(),
            knocking: BTreeMap::new(),
            dark: BTreeSet::new(),
        };
        work(net.get_or_insert_with(new))
    })
}

/// A run begins on this thread.
pub fn begin(weather: Weather) {
    NET.with(|net| *net.borrow_mut() = None);
    set_weather(weather);
}

/// From here on sockets behave like this.
pub fn set_weather(weather: Weather) {
    with_net(|net| net.weather = weather);
}

fn alive() -> Vec<Rc<RefCell<Line>>> {
    with_net(|net| {
        net.lines.retain(|line| line.strong_count() > 0);
        net.lines.iter().filter_map(Weak::upgrade).collect()
    })
}

/// Connections one of whose ends is at this address, and has not let go of it.
pub fn lines(at: IpAddr) -> usize {
    alive().iter().filter(|line| line.borrow().ends.contains(&at)).count()
}

/// Connections between these two addresses that `holder`, one of them, has not let go of.
pub fn lines_between(holder: IpAddr, other: IpAddr) -> usize {
    let holds = |line: &Line| match line.ends {
        [from, to] if (from, to) == (holder, other) => !line.gone[0],
        [from, to] if (from, to) == (other, holder) => !line.gone[1],
        _ => false,
    };
    alive().iter().filter(|line| holds(&line.borrow())).count()
}

/// Does somebody hold a connection that a dead machine at this address knows nothing of?
pub fn is_half_open(at: IpAddr) -> bool {
    let lost = |line: &Line| matches!(line.health, Health::Silent | Health::Forgotten);
    alive().iter().any(|line| line.borrow().ends.contains(&at) && lost(&line.borrow()))
}

/// Connections between these two machines break, each by `odds` in a hundred.
pub fn break_lines(a: IpAddr, b: IpAddr, odds: u32) {
    for line in alive() {
        let between = line.borrow().ends == [a, b] || line.borrow().ends == [b, a];
        if between && thread_rng().gen_range(0..100) < odds {
            line.borrow_mut().harm(Health::Reset);
        }
    }
}

/// A machine is about to die, and nobody is told: who writes to it waits, and nothing comes from it.
pub fn darken(at: IpAddr) {
    with_net(|net| net.dark.insert(at));
    for line in alive() {
        let mut line = line.borrow_mut();
        if line.ends.contains(&at) && line.health == Health::Well {
            line.harm(Health::Silent);
        }
    }
}

/// It is there again, and answers.
pub fn lighten(at: IpAddr) {
    with_net(|net| net.dark.remove(&at));
    for line in alive() {
        let mut line = line.borrow_mut();
        if line.ends.contains(&at) && line.health == Health::Silent {
            line.harm(Health::Forgotten);
        }
    }
}

/// Does this happen now?
fn chance(one_in: u32) -> bool {
    one_in > 0 && thread_rng().gen_range(0..one_in) == 0
}

/// A listening socket.
pub struct TcpListener(madsim::net::TcpListener);

impl TcpListener {
    /// Listens.
    pub async fn bind(addr: SocketAddr) -> io::Result<Self> {
        // What knocked at an earlier process is gone with it.
        with_net(|net| net.knocking.retain(|(_, to), _| *to != addr));
        madsim::net::TcpListener::bind(addr).await.map(Self)
    }

    /// The address it listens at.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let (inner, peer) = self.0.accept().await?;
            let key = (peer, inner.local_addr()?);
            let knocked = with_net(|net| net.knocking.get_mut(&key)?.pop_front());
            let Some((port, line)) = knocked else { continue };
            if chance(with_net(|net| net.weather.accept_errors)) {
                line.borrow_mut().harm(Health::Reset);
                return Err(ErrorKind::ConnectionAborted.into());
            }
            let peer = SocketAddr::new(peer.ip(), port);
            let (local, end) = (inner.local_addr()?, 1);
            return Ok((TcpStream { inner, line, local, peer, end }, peer));
        }
    }
}

/// One end of a connection. The port of the end that opened it is different for each.
pub struct TcpStream {
    inner: madsim::net::TcpStream,
    line: Rc<RefCell<Line>>,
    local: SocketAddr,
    peer: SocketAddr,
    /// 0: this end opened it.
    end: usize,
}

impl std::fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} - {}", self.local, self.peer)
    }
}

impl TcpStream {
    /// Opens a connection.
    pub async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let inner = match madsim::net::TcpStream::connect(addr).await {
            Err(_) if with_net(|net| net.dark.contains(&addr.ip())) => {
                madsim::time::sleep(NO_ANSWER).await;
                return Err(ErrorKind::TimedOut.into());
            }
            other => other?,
        };
        let from = inner.local_addr()?;
        let ends = [from.ip(), addr.ip()];
        let line = Rc::new(RefCell::new(Line {
            ends,
            ways: Default::default(),
            gone: [false; 2],
            health: Health::Well,
        }));
        let port = with_net(|net| {
            net.last = net.last.checked_add(1).expect("a run has so many connections");
            net.lines.push(Rc::downgrade(&line));
            let knocking = net.knocking.entry((from, addr)).or_default();
            knocking.push_back((net.last, line.clone()));
            net.last
        });
        Ok(Self { inner, line, local: SocketAddr::new(from.ip(), port), peer: addr, end: 0 })
    }

    /// Changes nothing here.
    pub fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self.line.borrow().health {
            Health::Reset => Err(ErrorKind::NotConnected.into()),
            _ => Ok(self.peer),
        }
    }
}

/// Most bytes that one read gets.
const READ_MAX: usize = 8 << 10;

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (line, end) = (self.line.clone(), self.end);
        let mut line = line.borrow_mut();
        let health = line.health;
        let way = &mut line.ways[1 - end];
        match health {
            Health::Reset => return Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            Health::Silent | Health::Forgotten => {
                way.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Health::Well => {}
        }
        let short = chance(with_net(|net| net.weather.short));
        let most =
            buf.remaining().min(if short { thread_rng().gen_range(1..64) } else { READ_MAX });
        let mut bytes = vec![0; most];
        let mut piece = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.inner).poll_read(cx, &mut piece) {
            Poll::Ready(Ok(())) => {
                buf.put_slice(piece.filled());
                way.read += piece.filled().len() as u64;
                way.writer.take().into_iter().for_each(Waker::wake);
                Poll::Ready(Ok(()))
            }
            Poll::Pending if way.ends_at == Some(way.read) => Poll::Ready(Ok(())),
            Poll::Pending => {
                way.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            failed => failed,
        }
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (line, end) = (self.line.clone(), self.end);
        let mut line = line.borrow_mut();
        match line.health {
            Health::Forgotten => {
                line.harm(Health::Reset);
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            Health::Reset => return Poll::Ready(Err(ErrorKind::BrokenPipe.into())),
            Health::Well | Health::Silent => {}
        }
        let weather = with_net(|net| net.weather);
        let silent = line.health == Health::Silent;
        let way = &mut line.ways[end];
        let room = weather.window.saturating_sub((way.sent - way.read) as usize);
        let mut n = buf.len().min(room);
        // As TCP does: a window that opens byte by byte is not used byte by byte.
        if n < buf.len() && room < weather.window / 2 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if n > 1 && chance(weather.short) {
            n = thread_rng().gen_range(1..n);
        }
        way.sent += n as u64;
        if !silent {
            let inner = Pin::new(&mut self.inner);
            let _ = inner.poll_write(cx, &buf[..n])?;
            // Nobody need flush a socket, but madsim's send nothing before.
            let _ = Pin::new(&mut self.inner).poll_flush(cx)?;
            // What reaches a socket that is closed is answered with a reset.
            if line.gone[1 - end] {
                line.harm(Health::Reset);
            }
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = self.line.borrow_mut();
        let way = &mut line.ways[self.end];
        way.ends_at = Some(way.sent);
        way.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        let mut line = self.line.borrow_mut();
        line.gone[self.end] = true;
        let unread = {
            let way = &line.ways[1 - self.end];
            way.sent > way.read
        };
        if unread && line.health == Health::Well {
            line.harm(Health::Reset);
        }
    }
}
