//! The order of a log's device: what is asked for first is done first, and nothing is left out.

use std::collections::VecDeque;
use zoetrope_io_sim::{Op, Verdict};

/// What a server's log device has still to do.
#[derive(Default)]
pub(crate) struct Order(VecDeque<Op>);

/// Are both the same to a log?
fn same(asked: &Op, done: &Op) -> bool {
    match (asked, done) {
        (Op::Append { name, at, .. }, Op::Append { name: other, at: there, .. }) => {
            (name, at) == (other, there)
        }
        (Op::Rename { .. } | Op::Truncate { .. }, _) => asked == done,
        (Op::Discard { name }, Op::Remove { name: removed }) => name == removed,
        _ => false,
    }
}

impl Order {
    pub(crate) fn asked(&mut self, op: &Op) {
        self.0.push_back(op.clone());
    }

    /// Something was done to a file, by this device or another one.
    pub(crate) fn done(&mut self, op: &Op) -> Verdict {
        let Some(place) = self.0.iter().position(|asked| same(asked, op)) else { return Ok(()) };
        let must =
            |op: &Op| matches!(op, Op::Append { .. } | Op::Rename { .. } | Op::Truncate { .. });
        let before: Vec<Op> = self.0.drain(..=place).collect();
        match before[..place].iter().find(|op| must(op)) {
            None => Ok(()),
            Some(left) => Err(format!(
                "W7: a log's device does {}, and left out {}, which was asked for before",
                told(op),
                told(left)
            )),
        }
    }
}

fn told(op: &Op) -> String {
    match op {
        Op::Append { name, at, bytes } => format!("append {} bytes to {name} at {at}", bytes.len()),
        other => format!("{other:?}"),
    }
}
