//! Links between real sockets on this machine, without a core: what is told goes into a list.

use super::*;
use std::net::TcpListener as StdListener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::LocalSet;
use tokio::time::{Duration, sleep, timeout};
use zoetrope_core::wire::{decode_hello, encode_hello};
use zoetrope_core::{Ensemble, Member, PeerAddress};

/// What a server was told.
#[derive(Clone, PartialEq, Debug)]
enum Told {
    Up(Option<i64>, u64, Link),
    Down(u64),
    Bytes(u64, Vec<u8>),
    Sent(u64, u64),
    Unreachable(i64, Link),
}

type List = Rc<RefCell<Vec<Told>>>;

fn hello(sid: i64, own: &HostPort) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_hello(Sid(sid), std::slice::from_ref(own), &mut bytes);
    bytes
}

/// A server that is nothing but its links.
struct Host {
    peers: Peers,
    told: List,
}

impl Host {
    fn start(sid: i64, ensemble: &Ensemble) -> Self {
        Self::with(settings(sid, ensemble))
    }

    fn with(settings: PeerSettings) -> Self {
        let told = List::default();
        let list = told.clone();
        let sink = move |input: &Input<'_>| {
            list.borrow_mut().push(match *input {
                Input::PeerUp { sid, chan, link, .. } => Told::Up(sid.map(|s| s.0), chan.0, link),
                Input::PeerDown { chan } => Told::Down(chan.0),
                Input::PeerFrames { chan, bytes } => Told::Bytes(chan.0, bytes.to_vec()),
                Input::PeerSent { chan, upto } => Told::Sent(chan.0, upto),
                Input::Unreachable { sid, link } => Told::Unreachable(sid.0, link),
                _ => unreachable!("links tell of links"),
            });
        };
        Self { peers: Peers::start(settings, Box::new(sink)), told }
    }

    fn connect(&self, sid: i64, link: Link) {
        self.peers.take(&Effect::Connect { sid: Sid(sid), link }, |_| &[]);
    }

    fn send(&self, chan: u64, bytes: &[u8]) {
        let span = Span { start: 0, len: bytes.len() };
        self.peers.take(&Effect::SendPeer { chan: ChanId(chan), bytes: span }, |_| bytes);
    }

    fn disconnect(&self, chan: u64) {
        self.peers.take(&Effect::Disconnect { chan: ChanId(chan) }, |_| &[]);
    }

    fn told(&self) -> Vec<Told> {
        self.told.borrow().clone()
    }

    /// The next link that comes up, counted from 0.
    async fn up(&self, nth: usize) -> (Option<i64>, u64, Link) {
        let pick = |told: &Told| match told {
            Told::Up(sid, chan, link) => Some((*sid, *chan, *link)),
            _ => None,
        };
        let find = || self.told().iter().filter_map(pick).nth(nth);
        until(|| find().is_some(), self).await;
        find().unwrap()
    }

    async fn hears(&self, what: Told) {
        until(|| self.told().contains(&what), self).await;
    }

    /// All bytes of a link.
    fn bytes(&self, chan: u64) -> Vec<u8> {
        let of_chan = |told| match told {
            Told::Bytes(from, bytes) if from == chan => bytes,
            _ => Vec::new(),
        };
        self.told().into_iter().flat_map(of_chan).collect()
    }

    fn credit(&self, chan: u64) -> u64 {
        let of_chan = |told| match told {
            Told::Sent(to, upto) if to == chan => upto,
            _ => 0,
        };
        self.told().into_iter().map(of_chan).max().unwrap_or_default()
    }
}

/// A condition comes true within some seconds.
async fn until(condition: impl Fn() -> bool, host: &Host) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(Duration::from_secs(10), wait).await.is_ok(), "told: {:?}", host.told());
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn ensemble(sids: &[i64]) -> Ensemble {
    let mut ensemble = Ensemble::default();
    for sid in sids {
        let host = "127.0.0.1".to_owned();
        let address = PeerAddress { host, quorum_port: free_port(), election_port: free_port() };
        let member = Member { addresses: vec![address], observer: false, client: None };
        ensemble.members.insert(Sid(*sid), member);
    }
    ensemble
}

fn settings(sid: i64, ensemble: &Ensemble) -> PeerSettings {
    PeerSettings {
        sid: Sid(sid),
        ensemble: ensemble.clone(),
        observer_master_port: None,
        listen_on_all: false,
        connect_timeout_ms: 1500,
        handshake_timeout_ms: 1000,
        bind_retries: 3,
        tcp_keepalive: false,
    }
}

fn address(ensemble: &Ensemble, sid: i64) -> &PeerAddress {
    &ensemble.members[&Sid(sid)].addresses[0]
}

fn place(address: &PeerAddress, link: Link) -> HostPort {
    let settings = settings(1, &Ensemble::default());
    meet::place(address, link, &settings).expect("it has such a port")
}

fn votes(ensemble: &Ensemble, sid: i64) -> HostPort {
    place(address(ensemble, sid), Link::Election)
}

/// Connects by hand, as often as it takes for the port to be open.
async fn call(place: &HostPort) -> TcpStream {
    loop {
        match TcpStream::connect((place.host.as_str(), place.port)).await {
            Ok(stream) => return stream,
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

/// A link by hand, as a server with that sid would open it.
async fn call_as(sid: i64, own: &HostPort, to: &HostPort) -> TcpStream {
    let mut stream = call(to).await;
    stream.write_all(&hello(sid, own)).await.unwrap();
    stream
}

/// Waits for the end of a connection; what came before it.
async fn rest_of(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    let _ = read.expect("the connection ends");
    rest
}

/// A port of a server that is played by hand.
async fn play(ensemble: &Ensemble, sid: i64) -> TcpListener {
    let HostPort { host, port } = votes(ensemble, sid);
    TcpListener::bind((host.as_str(), port)).await.unwrap()
}

/// The hello of whoever calls.
async fn accept_hello(listener: &TcpListener) -> (TcpStream, Hello) {
    let accepted = timeout(Duration::from_secs(5), listener.accept()).await;
    let (mut stream, _) = accepted.expect("somebody calls").unwrap();
    let mut bytes = vec![0; 20];
    stream.read_exact(&mut bytes).await.unwrap();
    let mut text = vec![0; usize::from(bytes[19])];
    stream.read_exact(&mut text).await.unwrap();
    bytes.extend(text);
    (stream, decode_hello(&bytes).unwrap().unwrap().0)
}

async fn here(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

const FRAME: &[u8] = &[0, 0, 0, 2, 7, 7];

#[tokio::test]
async fn the_larger_sid_calls_and_keeps_the_link() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let (one, two) = (Host::start(1, &ensemble), Host::start(2, &ensemble));
        call(&votes(&ensemble, 1)).await;
        two.connect(1, Link::Election);
        let (sid, chan, link) = one.up(0).await;
        assert_eq!((sid, link), (Some(2), Link::Election));
        assert_eq!(two.up(0).await.0, Some(1));
        one.send(chan, FRAME);
        one.peers.tell();
        two.hears(Told::Bytes(two.up(0).await.1, FRAME.to_vec())).await;
        one.hears(Told::Sent(chan, 6)).await;
        // A second wish changes nothing.
        two.connect(1, Link::Election);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(two.told().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_smaller_sid_is_called_back() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let (one, two) = (Host::start(1, &ensemble), Host::start(2, &ensemble));
        call(&votes(&ensemble, 2)).await;
        one.connect(2, Link::Election);
        let (sid, chan, _) = one.up(0).await;
        assert_eq!(sid, Some(2));
        assert_eq!(two.up(0).await.0, Some(1));
        two.send(two.up(0).await.1, FRAME);
        two.peers.tell();
        one.hears(Told::Bytes(chan, FRAME.to_vec())).await;
        // The attempt is over: nothing is reported when its time is.
        sleep(Duration::from_millis(1700)).await;
        assert_eq!(one.told().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn both_at_once_end_with_one_link() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let (one, two) = (Host::start(1, &ensemble), Host::start(2, &ensemble));
        call(&votes(&ensemble, 1)).await;
        call(&votes(&ensemble, 2)).await;
        one.connect(2, Link::Election);
        two.connect(1, Link::Election);
        one.up(0).await;
        two.up(0).await;
        sleep(Duration::from_millis(1700)).await;
        for host in [&one, &two] {
            let mut open = BTreeSet::new();
            for told in host.told() {
                match told {
                    Told::Up(_, chan, _) => {
                        assert!(open.is_empty(), "the old link goes down first: {:?}", host.told());
                        assert!(open.insert(chan));
                    }
                    Told::Down(chan) => assert!(open.remove(&chan), "{:?}", host.told()),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(open.len(), 1, "{:?}", host.told());
        }
        let last = |host: &Host| host.peers.links.state.borrow().last_chan;
        one.send(last(&one), FRAME);
        one.peers.tell();
        two.hears(Told::Bytes(last(&two), FRAME.to_vec())).await;
    })
    .await;
}

#[tokio::test]
async fn the_captured_handshake_is_understood() {
    here(async {
        let mut ensemble = ensemble(&[1]);
        let mut member = ensemble.members[&Sid(1)].clone();
        member.addresses[0].election_port = 2383;
        ensemble.members.insert(Sid(3), member);
        let one = Host::start(1, &ensemble);
        let mut java = call(&votes(&ensemble, 1)).await;
        // §16, in one write with the first bytes of a message.
        let hello = b"\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\x03\0\0\0\x0e127.0.0.1:2383";
        java.write_all(&[hello, &FRAME[..5]].concat()).await.unwrap();
        assert_eq!(one.up(0).await, (Some(3), 1, Link::Election));
        java.write_all(&FRAME[5..]).await.unwrap();
        one.hears(Told::Bytes(1, FRAME.to_vec())).await;
        one.send(1, FRAME);
        one.peers.tell();
        let mut answer = [0; 6];
        java.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, FRAME);
    })
    .await;
}

#[tokio::test]
async fn what_this_server_says_is_the_captured_handshake() {
    here(async {
        let mut ensemble = ensemble(&[1, 3]);
        let me = &mut ensemble.members.get_mut(&Sid(3)).unwrap().addresses[0];
        (me.election_port, me.quorum_port) = (2383, 2283);
        let listener = play(&ensemble, 1).await;
        let three = Host::start(3, &ensemble);
        three.connect(1, Link::Election);
        let (mut java, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 34];
        java.read_exact(&mut bytes).await.unwrap();
        let hello = b"\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\x03\0\0\0\x0e127.0.0.1:2383";
        assert_eq!(&bytes, hello);
        three.up(0).await;
    })
    .await;
}

#[tokio::test]
async fn the_34_form_is_understood_and_called_back_where_it_is_configured() {
    here(async {
        let ensemble = ensemble(&[1, 2, 3]);
        let two = Host::start(2, &ensemble);
        let mut larger = call(&votes(&ensemble, 2)).await;
        larger.write_all(&3i64.to_be_bytes()).await.unwrap();
        assert_eq!(two.up(0).await.0, Some(3));
        let listener = play(&ensemble, 1).await;
        let mut smaller = call(&votes(&ensemble, 2)).await;
        smaller.write_all(&1i64.to_be_bytes()).await.unwrap();
        let (_called, hello) = accept_hello(&listener).await;
        assert_eq!(hello.sid, Sid(2));
        assert_eq!(rest_of(smaller).await, []);
    })
    .await;
}

#[tokio::test]
async fn the_address_in_the_hello_counts_unless_it_is_a_wildcard() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let configured = play(&ensemble, 1).await;
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = elsewhere.local_addr().unwrap().port();
        let two = Host::start(2, &ensemble);
        let at = |host: &str| HostPort { host: host.to_owned(), port };
        call_as(1, &at("127.0.0.1"), &votes(&ensemble, 2)).await;
        let (first, _) = accept_hello(&elsewhere).await;
        two.up(0).await;
        for (nth, wildcard) in ["0.0.0.0", "::"].into_iter().enumerate() {
            call_as(1, &at(wildcard), &votes(&ensemble, 2)).await;
            let (_kept, _) = accept_hello(&configured).await;
            two.up(nth + 1).await;
        }
        let down = |chan| two.told().iter().position(|told| *told == Told::Down(chan)).unwrap();
        let up = |chan| {
            let is_it = |told: &Told| matches!(told, Told::Up(_, up, _) if *up == chan);
            two.told().iter().position(is_it).unwrap()
        };
        assert!(down(1) < up(2) && down(2) < up(3), "{:?}", two.told());
        drop(first);
    })
    .await;
}

#[tokio::test]
async fn a_new_link_replaces_the_old_one() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let old = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        one.up(0).await;
        let _new = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        one.up(1).await;
        let up = |chan| Told::Up(Some(2), chan, Link::Election);
        assert_eq!(one.told(), [up(1), Told::Down(1), up(2)]);
        assert_eq!(rest_of(old).await, []);
        sleep(Duration::from_millis(50)).await;
        assert_eq!(one.told().len(), 3, "one PeerDown per link");
    })
    .await;
}

#[tokio::test]
async fn election_messages_are_cut_whole_and_quorum_bytes_are_not() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let mut votes = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        one.up(0).await;
        votes.write_all(&[FRAME, FRAME, &FRAME[..3]].concat()).await.unwrap();
        one.hears(Told::Bytes(1, [FRAME, FRAME].concat())).await;
        let quorum = place(address(&ensemble, 1), Link::Quorum);
        let mut learner = call(&quorum).await;
        assert_eq!(one.up(1).await, (None, 2, Link::Quorum));
        learner.write_all(&FRAME[..3]).await.unwrap();
        one.hears(Told::Bytes(2, FRAME[..3].to_vec())).await;
        learner.write_all(&[0; 4]).await.unwrap();
        one.hears(Told::Bytes(2, vec![0; 4])).await;
        drop(learner);
        one.hears(Told::Down(2)).await;
        // What was whole is delivered before the end, what was not is nobody's.
        votes.write_all(&[&FRAME[3..], FRAME, &FRAME[..5]].concat()).await.unwrap();
        drop(votes);
        one.hears(Told::Down(1)).await;
        assert_eq!(one.bytes(1), FRAME.repeat(4));
        assert_eq!(one.told().last(), Some(&Told::Down(1)));
    })
    .await;
}

#[tokio::test]
async fn a_length_that_is_none_ends_the_link() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        for (chan, len) in (1u64..).zip([0, -1, 524_289]) {
            let mut votes = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
            votes.write_all(&[FRAME, &i32::to_be_bytes(len)].concat()).await.unwrap();
            one.hears(Told::Down(chan)).await;
            assert_eq!(one.bytes(chan), FRAME, "{len}");
        }
        let mut votes = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        let mut longest = 524_288i32.to_be_bytes().to_vec();
        longest.resize(4 + 524_288, 5);
        votes.write_all(&longest).await.unwrap();
        one.hears(Told::Bytes(4, longest)).await;
    })
    .await;
}

#[tokio::test]
async fn half_a_handshake_blocks_nobody_and_ends() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let silent = call(&votes(&ensemble, 1)).await;
        let mut half = call(&votes(&ensemble, 1)).await;
        half.write_all(&hello(2, &votes(&ensemble, 2))[..25]).await.unwrap();
        let started = tokio::time::Instant::now();
        let _whole = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        one.up(0).await;
        assert!(started.elapsed() < Duration::from_millis(900), "it did not wait for the others");
        assert_eq!(rest_of(silent).await, []);
        assert_eq!(rest_of(half).await, []);
        assert_eq!(one.told(), [Told::Up(Some(2), 1, Link::Election)]);
    })
    .await;
}

#[tokio::test]
async fn a_crowd_of_silent_connections_keeps_only_its_own_address_out() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let HostPort { host, port } = votes(&ensemble, 1);
        drop(call(&votes(&ensemble, 1)).await);
        let mut crowd = Vec::new();
        for _ in 0..40 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            crowd.push(socket.connect(format!("{host}:{port}").parse().unwrap()).await.unwrap());
        }
        let last = timeout(Duration::from_millis(500), rest_of(crowd.pop().unwrap())).await;
        assert_eq!(last.expect("it is one too many"), []);
        let mut first = crowd.swap_remove(0);
        let silent = timeout(Duration::from_millis(50), first.read_u8()).await;
        assert!(silent.is_err(), "it has time to speak");
        let _whole = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        one.up(0).await;
        sleep(Duration::from_millis(1200)).await;
        assert!(one.peers.links.state.borrow().greeting.is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_address_has_no_more_links_than_servers_can_need() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let quorum = place(address(&ensemble, 1), Link::Quorum);
        let HostPort { host, port } = &quorum;
        drop(call(&quorum).await);
        one.up(0).await;
        one.hears(Told::Down(1)).await;
        let mut crowd = Vec::new();
        for _ in 0..LINKS_MAX + 1 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            crowd.push(socket.connect(format!("{host}:{port}").parse().unwrap()).await.unwrap());
        }
        let last = timeout(Duration::from_millis(500), rest_of(crowd.pop().unwrap())).await;
        assert_eq!(last.expect("it is one too many"), []);
        one.up(LINKS_MAX).await;
        // Others are heard, and so is that address when it has given one up.
        let _other = call(&quorum).await;
        one.up(LINKS_MAX + 1).await;
        drop(crowd.pop());
        one.hears(Told::Down(LINKS_MAX as u64 + 1)).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let _again = socket.connect(format!("{host}:{port}").parse().unwrap()).await.unwrap();
        one.up(LINKS_MAX + 2).await;
    })
    .await;
}

#[tokio::test]
async fn strangers_and_doubles_are_refused() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        for sid in [9, 1, 0, i64::MAX] {
            let stranger = call_as(sid, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
            assert_eq!(rest_of(stranger).await, [], "{sid}");
        }
        assert_eq!(one.told(), []);
        // One line for all strangers: they come from one address within 30 s.
        for kind in ["stranger", "double"] {
            let key = format!("127.0.0.1 {kind}");
            assert_eq!(one.peers.links.complaints.borrow_mut().line(&key, ""), None);
        }
    })
    .await;
}

#[tokio::test]
async fn who_cannot_be_reached_is_reported() {
    here(async {
        let mut ensemble = ensemble(&[1, 2, 3, 4]);
        let three = Host::start(3, &ensemble);
        // Nobody listens.
        for sid in [1, 4] {
            three.connect(sid, Link::Election);
            three.connect(sid, Link::Election);
            three.hears(Told::Unreachable(sid, Link::Election)).await;
        }
        three.connect(1, Link::Quorum);
        three.hears(Told::Unreachable(1, Link::Quorum)).await;
        // Not in the list, and this server itself.
        for sid in [7, 3] {
            three.connect(sid, Link::Election);
            three.hears(Told::Unreachable(sid, Link::Election)).await;
        }
        assert_eq!(three.told().len(), 5, "one answer per attempt: {:?}", three.told());
        // It listens, but never calls back.
        let deaf = play(&ensemble, 4).await;
        three.connect(4, Link::Election);
        let (poked, hello) = accept_hello(&deaf).await;
        assert_eq!((hello.sid, rest_of(poked).await), (Sid(3), vec![]));
        three.connect(4, Link::Election);
        let again = timeout(Duration::from_millis(100), deaf.accept()).await;
        assert!(again.is_err(), "one attempt at a time");
        three.told.borrow_mut().clear();
        sleep(Duration::from_millis(900)).await;
        assert_eq!(three.told(), [], "it may still call");
        three.hears(Told::Unreachable(4, Link::Election)).await;
        // And again, once somebody is there.
        ensemble.version = 1;
        let _one = Host::start(1, &ensemble);
        call(&votes(&ensemble, 1)).await;
        three.connect(1, Link::Election);
        assert_eq!(three.up(0).await.0, Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_call_back_that_nobody_asked_for_fails_in_silence() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let two = Host::start(2, &ensemble);
        let poke = call_as(1, &votes(&ensemble, 1), &votes(&ensemble, 2)).await;
        rest_of(poke).await;
        sleep(Duration::from_millis(200)).await;
        assert_eq!(two.told(), []);
        assert!(two.peers.links.state.borrow().attempts.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_quorum_link_goes_to_the_first_address_that_answers() {
    here(async {
        let mut ensemble = ensemble(&[1, 2]);
        let two = Host::start(2, &ensemble);
        let member = ensemble.members.get_mut(&Sid(2)).unwrap();
        let good = member.addresses[0].clone();
        let dead = PeerAddress { quorum_port: free_port(), ..good.clone() };
        let nameless = PeerAddress { host: "no-such-host.invalid".to_owned(), ..good.clone() };
        member.addresses = vec![nameless, dead, good.clone()];
        call(&place(&good, Link::Quorum)).await;
        let one = Host::start(1, &ensemble);
        one.connect(2, Link::Quorum);
        assert_eq!(one.up(0).await, (Some(2), 1, Link::Quorum));
        // The first was the test's own.
        let (sid, chan, _) = two.up(1).await;
        assert_eq!(sid, None);
        two.send(chan, b"hello");
        two.peers.tell();
        one.hears(Told::Bytes(1, b"hello".to_vec())).await;
        one.connect(2, Link::Quorum);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(one.told().len(), 2, "there is a link");
    })
    .await;
}

/// A learner by hand that takes little at once.
async fn slow_learner(place: &HostPort) -> TcpStream {
    drop(call(place).await);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(format!("{}:{}", place.host, place.port).parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_and_gets_every_byte_in_order() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let quorum = place(address(&ensemble, 1), Link::Quorum);
        let mut slow = slow_learner(&quorum).await;
        let slow_chan = one.up(1).await.1;
        let mut quick = call(&quorum).await;
        let quick_chan = one.up(2).await.1;
        let bytes: Vec<u8> = (0..16u32 << 20).map(|n| (n >> 8) as u8 ^ n as u8).collect();
        for (turn, piece) in bytes.chunks(1 << 20).enumerate() {
            one.send(slow_chan, piece);
            one.send(quick_chan, &[turn as u8]);
            one.peers.tell();
            let mut byte = [0];
            let read = timeout(Duration::from_secs(1), quick.read_exact(&mut byte)).await;
            assert!(read.is_ok() && byte == [turn as u8]);
        }
        let credit = one.credit(slow_chan);
        assert!(credit > 0 && credit < bytes.len() as u64, "only what the socket took: {credit}");
        assert_eq!(one.credit(quick_chan), 16);
        let mut got = vec![0; bytes.len()];
        slow.read_exact(&mut got).await.unwrap();
        assert!(got == bytes, "every byte in order");
        one.hears(Told::Sent(slow_chan, bytes.len() as u64)).await;
    })
    .await;
}

#[tokio::test]
async fn disconnect_sends_what_was_given_and_reports_nothing() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let quorum = place(address(&ensemble, 1), Link::Quorum);
        let mut slow = slow_learner(&quorum).await;
        let chan = one.up(1).await.1;
        // Unread bytes here must not destroy those on their way there.
        slow.write_all(&[1; 1000]).await.unwrap();
        let bytes = vec![9; 12 << 20];
        one.send(chan, &bytes);
        one.peers.tell();
        // In the same turn, and behind a backlog.
        one.send(chan, b"the end");
        one.disconnect(chan);
        one.send(chan, b"too late");
        one.peers.tell();
        let rest = rest_of(slow).await;
        assert_eq!((rest.len(), &rest[12 << 20..]), (bytes.len() + 7, &b"the end"[..]));
        sleep(Duration::from_millis(50)).await;
        assert!(!one.told().contains(&Told::Down(chan)));
        let chans = || one.peers.links.state.borrow().chans.is_empty();
        until(chans, &one).await;
        // One who never reads is cut off.
        let _deaf = slow_learner(&quorum).await;
        let chan = one.up(3).await.1;
        one.send(chan, &bytes);
        one.peers.tell();
        one.disconnect(chan);
        sleep(Duration::from_millis(1000)).await;
        assert!(!chans(), "it has 2 s");
        until(chans, &one).await;
        assert!(!one.told().contains(&Told::Down(chan)));
    })
    .await;
}

#[tokio::test]
async fn a_quick_reader_sees_the_end_at_once() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let quick = call(&place(address(&ensemble, 1), Link::Quorum)).await;
        let chan = one.up(0).await.1;
        one.send(chan, b"the end");
        one.disconnect(chan);
        one.peers.tell();
        let rest = timeout(Duration::from_secs(1), rest_of(quick)).await;
        assert_eq!(rest.expect("it need not close first"), b"the end");
    })
    .await;
}

#[tokio::test]
async fn a_link_that_is_replaced_is_not_written_to_any_more() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let mut old = slow_learner(&votes(&ensemble, 1)).await;
        old.write_all(&hello(2, &votes(&ensemble, 2))).await.unwrap();
        let chan = one.up(0).await.1;
        let bytes = vec![9; 12 << 20];
        one.send(chan, &bytes);
        one.peers.tell();
        sleep(Duration::from_millis(50)).await;
        let _new = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        one.up(1).await;
        assert!(rest_of(old).await.len() < bytes.len());
    })
    .await;
}

#[tokio::test]
async fn a_link_that_was_let_go_makes_room_for_another() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let (one, two) = (Host::start(1, &ensemble), Host::start(2, &ensemble));
        call(&votes(&ensemble, 1)).await;
        two.connect(1, Link::Election);
        let chan = two.up(0).await.1;
        two.disconnect(chan);
        two.connect(1, Link::Election);
        assert_ne!(two.up(1).await.1, chan);
        one.up(1).await;
        assert!(one.told().contains(&Told::Down(1)));
        assert!(!two.told().contains(&Told::Down(chan)));
    })
    .await;
}

#[tokio::test]
async fn a_paused_link_is_not_read_until_it_is_resumed() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let mut votes = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        let chan = ChanId(one.up(0).await.1);
        one.peers.take(&Effect::PausePeer { chan }, |_| &[]);
        sleep(Duration::from_millis(20)).await;
        votes.write_all(FRAME).await.unwrap();
        drop(votes);
        sleep(Duration::from_millis(200)).await;
        assert_eq!(one.told().len(), 1, "nothing but the link");
        one.peers.take(&Effect::ResumePeer { chan }, |_| &[]);
        one.hears(Told::Down(1)).await;
        assert_eq!(one.told()[1..], [Told::Bytes(1, FRAME.to_vec()), Told::Down(1)]);
    })
    .await;
}

#[tokio::test]
async fn a_link_that_breaks_while_it_is_paused_is_reported() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let votes = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        let chan = ChanId(one.up(0).await.1);
        one.peers.take(&Effect::PausePeer { chan }, |_| &[]);
        sleep(Duration::from_millis(20)).await;
        drop(votes);
        for _ in 0..3 {
            one.send(1, FRAME);
            one.peers.tell();
            sleep(Duration::from_millis(20)).await;
        }
        one.hears(Told::Down(1)).await;
    })
    .await;
}

#[tokio::test]
async fn a_turn_is_told_of_once() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let _votes = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        one.up(0).await;
        for _ in 0..100 {
            one.send(1, FRAME);
        }
        assert_eq!(one.told().len(), 1, "nobody is told inside a turn");
        one.peers.tell();
        assert_eq!(one.told()[1..], [Told::Sent(1, 600)]);
    })
    .await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_tried_again_then_given_up() {
    here(async {
        let ensemble = ensemble(&[1]);
        let taken = play(&ensemble, 1).await;
        let failing = Host::with(PeerSettings { bind_retries: 1, ..settings(1, &ensemble) });
        let error = timeout(Duration::from_secs(5), failing.peers.failed()).await.unwrap();
        assert_eq!(error.exit_code(), 14);
        assert!(error.to_string().contains("election port"), "{error}");
        let patient = Host::with(PeerSettings { bind_retries: 0, ..settings(1, &ensemble) });
        assert!(timeout(Duration::from_millis(1500), patient.peers.failed()).await.is_err());
        drop((taken, failing));
        let open = timeout(Duration::from_secs(3), call(&votes(&ensemble, 1))).await;
        open.expect("it is opened as soon as it is free");
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_not_here_means_all_addresses() {
    here(async {
        for (host, on_all) in
            [("no-such-host.invalid", false), ("192.0.2.1", false), ("192.0.2.1", true)]
        {
            let mut ensemble = ensemble(&[1]);
            let local = votes(&ensemble, 1);
            let address = &mut ensemble.members.get_mut(&Sid(1)).unwrap().addresses[0];
            address.host = host.to_owned();
            let settings = PeerSettings { listen_on_all: on_all, ..settings(1, &ensemble) };
            let _one = Host::with(settings);
            let open = timeout(Duration::from_secs(5), call(&local)).await;
            open.unwrap_or_else(|_| panic!("{host} {on_all}"));
        }
    })
    .await;
}

#[tokio::test]
async fn observers_find_voters_at_a_port_of_their_own() {
    here(async {
        let mut ensemble = ensemble(&[1, 2]);
        ensemble.members.get_mut(&Sid(2)).unwrap().observer = true;
        let port = free_port();
        let with_masters =
            |sid| PeerSettings { observer_master_port: Some(port), ..settings(sid, &ensemble) };
        // An observer accepts none, or the voter could not have the port at the same address.
        let two = Host::with(with_masters(2));
        two.connect(1, Link::ObserverMaster);
        two.hears(Told::Unreachable(1, Link::ObserverMaster)).await;
        let one = Host::with(with_masters(1));
        let chan = loop {
            two.connect(1, Link::ObserverMaster);
            if let Ok((_, chan, _)) = timeout(Duration::from_millis(100), two.up(0)).await {
                break chan;
            }
        };
        assert_eq!(two.up(0).await, (Some(1), chan, Link::ObserverMaster));
        let (sid, at_one, link) = one.up(0).await;
        assert_eq!((sid, link), (None, Link::ObserverMaster), "who it is, it has to say itself");
        two.send(chan, &FRAME[..3]);
        one.hears(Told::Bytes(at_one, FRAME[..3].to_vec())).await;
        // The link to the leader is another one.
        two.connect(1, Link::Quorum);
        assert_eq!(two.up(1).await.2, Link::Quorum);
        assert_eq!(one.up(1).await.2, Link::Quorum);
    })
    .await;
}

#[tokio::test]
async fn dropped_links_end() {
    here(async {
        let ensemble = ensemble(&[1, 2]);
        let one = Host::start(1, &ensemble);
        let votes_of_two = call_as(2, &votes(&ensemble, 2), &votes(&ensemble, 1)).await;
        one.up(0).await;
        let list = one.told.clone();
        let mut late = call(&votes(&ensemble, 1)).await;
        late.write_all(&2i64.to_be_bytes()[..7]).await.unwrap();
        sleep(Duration::from_millis(50)).await;
        drop(one);
        late.write_all(&[2]).await.unwrap();
        assert_eq!(rest_of(late).await, []);
        assert_eq!(rest_of(votes_of_two).await, []);
        assert_eq!(list.borrow().len(), 1);
        let HostPort { host, port } = votes(&ensemble, 1);
        assert!(TcpStream::connect((host.as_str(), port)).await.is_err(), "the port is closed");
    })
    .await;
}
