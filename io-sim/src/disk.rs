//! A disk with two images: what a reader sees, and what survives a loss of power. Knows no record.
//!
//! Writes reach the durable image sector by sector when they are synced; names when their directory is. A crash keeps
//! any part of what was not.

use crate::rng::Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes that reach the disk whole or not at all.
pub(crate) const SECTOR: usize = 512;

/// What of the unsynced writes and names survives a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Everything.
    All,
    /// Each sector and each name as chance has it.
    Some,
    /// The first sectors, up to a point.
    Torn,
    /// Nothing, and rubbish behind the last byte that was written.
    Garbage,
}

/// What may be wrong with a sector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SectorHarm {
    /// One bit.
    Bit,
    /// It was never written.
    Lost,
    /// Another one was written instead.
    Misdirected,
}

type Sector = Arc<[u8; SECTOR]>;

#[derive(Clone, Default, Debug)]
struct Image {
    len: u64,
    sectors: BTreeMap<u64, Sector>,
}

impl Image {
    fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let end = self.len.min(at + len as u64);
        let mut bytes = Vec::with_capacity(end.saturating_sub(at) as usize);
        let mut at = at;
        while at < end {
            let (number, from) = (at / SECTOR as u64, (at % SECTOR as u64) as usize);
            let to = SECTOR.min(from + (end - at) as usize);
            match self.sectors.get(&number) {
                Some(sector) => bytes.extend_from_slice(&sector[from..to]),
                None => bytes.resize(bytes.len() + to - from, 0),
            }
            at += (to - from) as u64;
        }
        bytes
    }

    fn truncate(&mut self, len: u64) {
        self.len = self.len.min(len);
        self.sectors.retain(|number, _| number * (SECTOR as u64) < len);
        if let Some(last) = self.sectors.get_mut(&(len / SECTOR as u64)) {
            Arc::make_mut(last)[(len % SECTOR as u64) as usize..].fill(0);
        }
    }
}

#[derive(Clone, Default, Debug)]
struct Inode {
    live: Image,
    durable: Image,
    unsynced: BTreeSet<u64>,
    /// The last sector that was ever written, even if it was lost, and was not cut off since.
    reached: u64,
}

impl Inode {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        let mut at = at as usize;
        let mut left = bytes;
        while !left.is_empty() {
            let (number, from) = ((at / SECTOR) as u64, at % SECTOR);
            let n = left.len().min(SECTOR - from);
            let sector = self.live.sectors.entry(number).or_insert_with(|| Arc::new([0; SECTOR]));
            Arc::make_mut(sector)[from..from + n].copy_from_slice(&left[..n]);
            self.unsynced.insert(number);
            self.reached = self.reached.max(number);
            at += n;
            left = &left[n..];
        }
        self.live.len = self.live.len.max(at as u64);
    }

    fn keep_sector(&mut self, number: u64) {
        if let Some(sector) = self.live.sectors.get(&number) {
            self.durable.sectors.insert(number, sector.clone());
            self.durable.len =
                self.durable.len.max((number * SECTOR as u64 + 1).min(self.live.len));
        }
    }

    fn sync(&mut self) {
        for number in std::mem::take(&mut self.unsynced) {
            self.keep_sector(number);
        }
        self.durable.len = self.live.len;
    }

    fn lose_power(&mut self, keep: Keep, rng: &mut Rng) {
        let unsynced: Vec<u64> = std::mem::take(&mut self.unsynced).into_iter().collect();
        let kept: Vec<u64> = match keep {
            Keep::Nothing | Keep::Garbage => Vec::new(),
            Keep::All => unsynced.clone(),
            Keep::Some => unsynced.iter().copied().filter(|_| rng.one_in(2)).collect(),
            Keep::Torn if unsynced.is_empty() => Vec::new(),
            Keep::Torn => {
                let upto = rng.below(unsynced.len() as u64) as usize;
                unsynced[..upto].to_vec()
            }
        };
        for number in kept {
            self.keep_sector(number);
        }
        if keep == Keep::Garbage {
            // Behind everything that was ever written, in room that was only reserved.
            let last = self.live.sectors.keys().next_back().copied().unwrap_or(0);
            let behind = self.reached.max(last) + 1;
            if (behind + 1) * (SECTOR as u64) <= self.durable.len {
                let mut rubbish = [0; SECTOR];
                rubbish.iter_mut().for_each(|byte| *byte = rng.draw() as u8);
                self.durable.sectors.insert(behind, Arc::new(rubbish));
            }
        }
        self.live = self.durable.clone();
    }
}

#[derive(Clone, Debug)]
enum NameOp {
    Link { name: String, inode: u64 },
    Unlink { name: String },
}

/// Files and names, live and durable.
#[derive(Clone, Default, Debug)]
pub struct Disk {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    live: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// Each group stays or goes as one.
    unsynced: Vec<Vec<NameOp>>,
    harmed: Vec<Harmed>,
}

/// A sector that is not what was written.
#[derive(Clone, Debug)]
struct Harmed {
    inode: u64,
    number: u64,
    was: Sector,
    is: Sector,
}

impl Disk {
    /// Names and lengths, as a reader sees them.
    pub fn list(&self) -> Vec<(String, u64)> {
        self.live.iter().map(|(name, inode)| (name.clone(), self.inodes[inode].live.len)).collect()
    }

    /// Bytes, as a reader sees them. `None`: no such file.
    pub fn read(&self, name: &str, at: u64, len: usize) -> Option<Vec<u8>> {
        let inode = self.live.get(name)?;
        Some(self.inodes[inode].live.read(at, len))
    }

    /// Length of a file; 0 when it is not there.
    pub fn len(&self, name: &str) -> u64 {
        self.live.get(name).map_or(0, |inode| self.inodes[inode].live.len)
    }

    /// The file of that name, whatever it is called later.
    pub fn find(&self, name: &str) -> Option<u64> {
        self.live.get(name).copied()
    }

    /// What a file is called now.
    pub fn name_of(&self, inode: u64) -> Option<String> {
        self.live.iter().find(|(_, it)| **it == inode).map(|(name, _)| name.clone())
    }

    /// The file of that name, which is made if it is missing.
    pub fn make(&mut self, name: &str) -> u64 {
        self.inode(name);
        self.live[name]
    }

    /// What would stand under that name without power.
    pub fn durable(&self, name: &str) -> Option<Vec<u8>> {
        let image = &self.inodes[self.durable.get(name)?].durable;
        Some(image.read(0, image.len as usize))
    }

    /// Makes a name if it is missing.
    fn inode(&mut self, name: &str) -> &mut Inode {
        let inode = match self.live.get(name) {
            Some(inode) => *inode,
            None => {
                self.next_inode += 1;
                let inode = self.next_inode;
                self.inodes.insert(inode, Inode::default());
                self.live.insert(name.to_owned(), inode);
                self.unsynced.push(vec![NameOp::Link { name: name.to_owned(), inode }]);
                inode
            }
        };
        self.inodes.entry(inode).or_default()
    }

    /// Durable zeros behind the present end.
    pub(crate) fn reserve(&mut self, name: &str, upto: u64) {
        let inode = self.inode(name);
        inode.live.len = inode.live.len.max(upto);
        inode.durable.len = inode.durable.len.max(upto);
    }

    /// Writes; nothing of it is durable yet.
    pub fn write(&mut self, name: &str, at: u64, bytes: &[u8]) {
        self.inode(name).write(at, bytes);
    }

    /// Makes a file's contents durable.
    pub fn sync(&mut self, name: &str) {
        self.inode(name).sync();
    }

    /// Cuts a file off, and makes what is left durable.
    pub fn truncate(&mut self, name: &str, at: u64) {
        let inode = self.inode(name);
        inode.live.truncate(at);
        inode.reached = inode.reached.min(at.saturating_sub(1) / SECTOR as u64);
        inode.unsynced.clear();
        inode.durable = inode.live.clone();
    }

    /// Gives a file another name.
    pub fn rename(&mut self, from: &str, to: &str) {
        if let Some(inode) = self.live.remove(from) {
            self.live.insert(to.to_owned(), inode);
            let (name, to) = (from.to_owned(), to.to_owned());
            self.unsynced.push(vec![NameOp::Link { name: to, inode }, NameOp::Unlink { name }]);
        }
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: &str) {
        if self.live.remove(name).is_some() {
            self.unsynced.push(vec![NameOp::Unlink { name: name.to_owned() }]);
        }
    }

    /// Makes names durable.
    pub fn sync_names(&mut self) {
        for op in std::mem::take(&mut self.unsynced).into_iter().flatten() {
            self.keep_name(op);
        }
        self.drop_nameless();
    }

    /// What has no name now, and will have none after a loss of power, is gone.
    fn drop_nameless(&mut self) {
        let used: BTreeSet<u64> =
            self.live.values().chain(self.durable.values()).copied().collect();
        self.inodes.retain(|inode, _| used.contains(inode));
    }

    fn keep_name(&mut self, op: NameOp) {
        match op {
            NameOp::Link { name, inode } => self.durable.insert(name, inode),
            NameOp::Unlink { name } => self.durable.remove(&name),
        };
    }

    /// Everything reaches the disk.
    pub(crate) fn sync_all(&mut self) {
        self.inodes.values_mut().for_each(Inode::sync);
        self.sync_names();
    }

    /// After a loss of power: something that was synced is not what was written.
    pub(crate) fn harm(&mut self, harm: SectorHarm, rng: &mut Rng) {
        let written: Vec<(u64, u64)> = self
            .inodes
            .iter()
            .flat_map(|(inode, it)| it.durable.sectors.keys().map(move |number| (*inode, *number)))
            .collect();
        if written.is_empty() {
            return;
        }
        let (inode, number) = *rng.pick(&written);
        let mut bytes = *self.inodes[&inode].durable.sectors[&number];
        match harm {
            SectorHarm::Bit => bytes[rng.below(SECTOR as u64) as usize] ^= 1 << rng.below(8),
            SectorHarm::Lost => bytes = [0; SECTOR],
            SectorHarm::Misdirected => {
                let same: Vec<u64> =
                    written.iter().filter(|(at, _)| *at == inode).map(|(_, n)| *n).collect();
                let over = *rng.pick(&same);
                self.change(inode, over, bytes);
                bytes = [0; SECTOR];
            }
        }
        self.change(inode, number, bytes);
    }

    fn change(&mut self, inode: u64, number: u64, bytes: [u8; SECTOR]) {
        let it = self.inodes.entry(inode).or_default();
        let is = Arc::new(bytes);
        if let Some(was) = it.durable.sectors.insert(number, is.clone()) {
            it.live.sectors.insert(number, is.clone());
            self.harmed.push(Harmed { inode, number, was, is });
        }
    }

    /// Sectors that were harmed and that nobody has written since are what they were.
    pub(crate) fn mend(&mut self) {
        for Harmed { inode, number, was, is } in std::mem::take(&mut self.harmed).into_iter().rev()
        {
            let Some(it) = self.inodes.get_mut(&inode) else { continue };
            for image in [&mut it.live, &mut it.durable] {
                if let Some(sector) = image.sectors.get_mut(&number).filter(|now| **now == is) {
                    *sector = was.clone();
                }
            }
        }
    }

    /// Unsynced bytes there are.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.inodes.values().map(|inode| (inode.unsynced.len() * SECTOR) as u64).sum()
    }

    /// The power is gone: what was not synced is kept as `keep` says.
    pub fn lose_power(&mut self, keep: Keep, rng: &mut Rng) {
        for inode in self.inodes.values_mut() {
            inode.lose_power(keep, rng);
        }
        for group in std::mem::take(&mut self.unsynced) {
            let kept = match keep {
                Keep::Nothing | Keep::Garbage => false,
                Keep::All => true,
                Keep::Some | Keep::Torn => rng.one_in(2),
            };
            if kept {
                group.into_iter().for_each(|op| self.keep_name(op));
            }
        }
        self.live = self.durable.clone();
        self.drop_nameless();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_survives_and_the_rest_does_not() {
        let mut disk = Disk::default();
        let mut rng = Rng::new(1, "disk");
        disk.reserve("a", 2000);
        disk.write("a", 0, &[1; 700]);
        disk.sync("a");
        disk.sync_names();
        disk.write("a", 600, &[2; 700]);
        disk.write("b", 0, b"unnamed");
        disk.sync("b");
        assert_eq!(disk.read("a", 600, 2).unwrap(), [2, 2]);
        disk.lose_power(Keep::Nothing, &mut rng);
        assert_eq!(disk.read("a", 600, 2).unwrap(), [1, 1]);
        assert_eq!(disk.read("a", 700, 1300).unwrap(), [0; 1300]);
        assert_eq!(disk.read("b", 0, 1), None);
    }

    #[test]
    fn rubbish_comes_behind_what_was_written_even_if_that_was_lost() {
        for lost in [2, 5] {
            let mut disk = Disk::default();
            let mut rng = Rng::new(lost, "disk");
            disk.reserve("a", 20 * SECTOR as u64);
            disk.write("a", 0, &[1; SECTOR]);
            disk.sync("a");
            disk.sync_names();
            disk.write("a", 0, &vec![2; lost as usize * SECTOR]);
            disk.lose_power(Keep::Nothing, &mut rng);
            disk.lose_power(Keep::Garbage, &mut rng);
            let sector = |disk: &Disk, n: u64| disk.read("a", n * SECTOR as u64, SECTOR).unwrap();
            let used: Vec<u64> = (0..20).filter(|n| sector(&disk, *n) != [0; SECTOR]).collect();
            assert_eq!(used, [0, lost], "sectors");
            disk.truncate("a", SECTOR as u64);
            disk.reserve("a", 20 * SECTOR as u64);
            disk.sync("a");
            disk.lose_power(Keep::Garbage, &mut rng);
            assert_ne!(sector(&disk, 1), [0; SECTOR], "nothing is there any more");
        }
    }

    #[test]
    fn a_file_that_was_removed_for_good_takes_no_room() {
        let mut disk = Disk::default();
        for name in ["a", "b"] {
            disk.write(name, 0, &[1; 700]);
            disk.sync(name);
            disk.sync_names();
        }
        disk.remove("a");
        assert_eq!(disk.inodes.len(), 2, "it comes back when the power is lost");
        disk.sync_names();
        assert_eq!(disk.inodes.len(), 1);
        assert_eq!(disk.read("b", 0, 1).unwrap(), [1]);
    }

    #[test]
    fn harm_is_done_to_what_was_written_and_mended_where_nobody_wrote_since() {
        let mut harmed = 0;
        for (seed, harm) in [SectorHarm::Bit, SectorHarm::Lost, SectorHarm::Misdirected]
            .into_iter()
            .cycle()
            .enumerate()
            .take(30)
        {
            let mut disk = Disk::default();
            let mut rng = Rng::new(seed as u64, "disk");
            let before: Vec<u8> = (0..2000).map(|n| n as u8 | 1).collect();
            disk.write("a", 0, &before);
            disk.sync_all();
            disk.lose_power(Keep::Nothing, &mut rng);
            disk.harm(harm, &mut rng);
            harmed += u32::from(disk.read("a", 0, 2000).unwrap() != before);
            disk.lose_power(Keep::Nothing, &mut rng);
            disk.write("a", 0, &[9; SECTOR]);
            disk.mend();
            assert_eq!(disk.read("a", 0, SECTOR).unwrap(), [9; SECTOR]);
            assert_eq!(disk.read("a", SECTOR as u64, 2000).unwrap(), before[SECTOR..]);
        }
        assert!(harmed > 25, "{harmed}");
    }

    #[test]
    fn a_rename_is_there_or_not_but_never_half() {
        for seed in 0..20 {
            let mut disk = Disk::default();
            let mut rng = Rng::new(seed, "disk");
            disk.write("old", 0, b"x");
            disk.sync("old");
            disk.sync_names();
            disk.rename("old", "new");
            disk.lose_power(Keep::Some, &mut rng);
            let names: Vec<String> = disk.list().into_iter().map(|(name, _)| name).collect();
            assert!(names == ["old"] || names == ["new"], "{names:?}");
        }
    }
}
