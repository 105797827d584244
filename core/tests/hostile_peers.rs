//! Servers that say what no server says. This one may leave them; it must not fall, and it must start again.

mod support;

use support::play::*;
use support::{Bench, Files};
use zoetrope_core::wire::{PacketKind, Txn};
use zoetrope_core::*;

#[test]
fn the_root_stays_whatever_a_leader_deletes() {
    let mut bench = Bench::start(Files::new(), config());
    lead(&mut bench);
    let paths = ["/zookeeper/config", "/zookeeper/quota", "/zookeeper", "/", ""];
    for (counter, path) in (1..).zip(paths) {
        propose(&mut bench, counter, &Txn::Delete { path: path.into(), by_server: false });
        packet(&mut bench, PacketKind::Commit, zxid(counter), None);
    }
    propose(&mut bench, 6, &znode("/a", 1));
    packet(&mut bench, PacketKind::Commit, zxid(6), None);
    assert_eq!(bench.server.zxid_applied(), zxid(6));
    let again = Bench::start(bench.files.clone(), config());
    assert_eq!(again.halted, None);
}
