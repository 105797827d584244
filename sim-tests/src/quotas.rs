//! Quotas, written again as simply as possible (client protocol §3.10). Shares no code with the core's tree.

use std::collections::BTreeMap;

/// What limits a subtree, and what is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Figures {
    /// Most znodes; −1 is any number. So it is with the bytes of their data.
    pub(crate) count_hard: i64,
    pub(crate) bytes_hard: i64,
    pub(crate) count: i64,
    pub(crate) bytes: i64,
}

impl Figures {
    /// The limits as a client wrote them.
    pub(crate) fn limited_by(text: &str, count: i64, bytes: i64) -> Self {
        let value = |key: &str| {
            let mut pairs = text.split([',', ';']).filter_map(|pair| pair.split_once('='));
            pairs.find(|(k, _)| *k == key).and_then(|(_, value)| value.parse().ok()).unwrap_or(-1)
        };
        Self {
            count_hard: value("countHardLimit"),
            bytes_hard: value("byteHardLimit"),
            count,
            bytes,
        }
    }

    /// What stands in the znode of these figures.
    pub(crate) fn text(&self) -> String {
        format!("count={},bytes={}", self.count, self.bytes)
    }

    /// Only what changes is looked at; and a change for the better is refused too while a limit is exceeded.
    fn refuses(&self, count: i64, bytes: i64) -> bool {
        let exceeds = |now: i64, more: i64, hard: i64| more != 0 && hard > -1 && now + more > hard;
        exceeds(self.count, count, self.count_hard) || exceeds(self.bytes, bytes, self.bytes_hard)
    }
}

/// What a server may say to a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum May {
    /// It may do it.
    Do,
    /// It may refuse it.
    Refuse,
    /// Either: it depends on how much it had applied when it decided.
    Either,
}

/// Every quota there is and was.
#[derive(Clone, Default, Debug)]
pub(crate) struct Quotas {
    /// The figures of a path from a txn on; `None`: it has no quota.
    history: BTreeMap<String, Vec<(i64, Option<Figures>)>>,
}

impl Quotas {
    /// The quotas there are once `zxid` is applied.
    pub(crate) fn are(&mut self, zxid: i64, now: BTreeMap<String, Figures>) {
        for (path, figures) in &now {
            let history = self.history.entry(path.clone()).or_default();
            if history.last().and_then(|(_, last)| *last) != Some(*figures) {
                history.push((zxid, Some(*figures)));
            }
        }
        for (path, history) in &mut self.history {
            if !now.contains_key(path) && history.last().is_some_and(|(_, last)| last.is_some()) {
                history.push((zxid, None));
            }
        }
    }

    /// Was there ever one?
    pub(crate) fn is_empty(&self) -> bool {
        self.history.is_empty()
    }

    /// What may be said to a write of `path` that adds so much. A leader looks at the tree that it has applied: at least as
    /// much as `applied`, and at most all that comes before the write, up to `last`.
    pub(crate) fn may(
        &self,
        path: &str,
        (count, bytes): (i64, i64),
        applied: i64,
        last: i64,
    ) -> May {
        let above = |quota: &str| {
            path.strip_prefix(quota).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let quotas: Vec<_> = self.history.iter().filter(|(quota, _)| above(quota)).collect();
        let between = |zxid: &i64| (applied..=last).contains(zxid);
        let changes = quotas.iter().flat_map(|(_, history)| history.iter().map(|(zxid, _)| *zxid));
        let refused = changes.filter(between).chain([applied]).map(|zxid| {
            // The deepest there is counts alone; it is the last in the order of paths.
            let there = quotas.iter().rev().find_map(|(_, history)| {
                history[..history.partition_point(|(at, _)| *at <= zxid)].last()?.1
            });
            there.is_some_and(|figures| figures.refuses(count, bytes))
        });
        let refused: Vec<bool> = refused.collect();
        match (refused.contains(&true), refused.contains(&false)) {
            (true, true) => May::Either,
            (true, false) => May::Refuse,
            _ => May::Do,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_at_most(count: i64) -> BTreeMap<String, Figures> {
        let figures = Figures::limited_by("count=2,countHardLimit=3;byteHardLimit=10", count, 8);
        BTreeMap::from([("/q".to_owned(), figures)])
    }

    #[test]
    fn what_is_said_depends_on_what_was_applied() {
        let mut quotas = Quotas::default();
        assert!(quotas.is_empty());
        quotas.are(5, three_at_most(2));
        quotas.are(6, three_at_most(3));
        quotas.are(7, three_at_most(3));
        quotas.are(8, BTreeMap::new());
        quotas.are(9, BTreeMap::new());
        assert_eq!(
            quotas.history["/q"].iter().map(|(zxid, _)| *zxid).collect::<Vec<_>>(),
            [5, 6, 8]
        );
        let one = (1, 0);
        for (applied, last, may) in [
            (4, 4, May::Do),
            (5, 5, May::Do),
            (5, 6, May::Either),
            (6, 7, May::Refuse),
            (7, 8, May::Either),
            (8, 9, May::Do),
        ] {
            assert_eq!(quotas.may("/q/a", one, applied, last), may, "{applied} to {last}");
            assert_eq!(quotas.may("/qq", one, applied, last), May::Do);
        }
        assert_eq!(quotas.may("/q", (0, 3), 5, 5), May::Refuse, "eleven bytes");
        assert_eq!(quotas.may("/q", (0, 2), 6, 6), May::Do, "the number of znodes stays");
        assert_eq!(three_at_most(2)["/q"].text(), "count=2,bytes=8");
    }

    #[test]
    fn what_is_exceeded_is_not_made_better_either() {
        let mut quotas = Quotas::default();
        quotas
            .are(1, BTreeMap::from([("/q".into(), Figures::limited_by("byteHardLimit=5", 1, 9))]));
        assert_eq!(quotas.may("/q", (0, -3), 1, 1), May::Refuse);
        assert_eq!(quotas.may("/q", (1, 0), 1, 1), May::Do, "an empty znode");
    }
}
