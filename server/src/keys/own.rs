//! Keys that only Zoetrope knows.

use super::Key;
use super::Kind::Own;
use crate::settings::DateFormat;
use crate::value::Fault;

pub(super) const KEYS: &[Key] = &[
    Key::honoured(
        Own,
        "zoetrope.srvr.dateFormat",
        "iso",
        "`us`: srvr, stat and envi print the build date as MM/DD/YYYY, which go-zookeeper wants; \
         `iso`: as YYYY-MM-DD, like Java",
        |draft, given| {
            draft.settings.words.date_format = match given.value {
                "iso" => DateFormat::Iso,
                "us" => DateFormat::Us,
                other => return Err(Fault::Error(format!("{other:?} is neither iso nor us"))),
            };
            Ok(())
        },
    ),
    Key::honoured(
        Own,
        "zoetrope.outputBudget",
        "4m",
        "Reply bytes a client may leave unread before its requests wait",
        |draft, given| {
            draft.settings.core.limits.output_budget = at_least(given.bytes()?, 4096)?;
            Ok(())
        },
    ),
    Key::honoured(
        Own,
        "zoetrope.outputTotal",
        "512m",
        "The same for all clients together; close, delete and ping still pass",
        |draft, given| {
            draft.settings.core.limits.output_total = at_least(given.bytes()?, 1 << 20)?;
            Ok(())
        },
    ),
    Key::honoured(
        Own,
        "zoetrope.eventBudget",
        "32m",
        "Bytes of watch events a client may leave unread before it is cut off",
        |draft, given| {
            draft.settings.core.limits.event_budget = at_least(given.bytes()?, 4096)?;
            Ok(())
        },
    ),
    Key::honoured(
        Own,
        "zoetrope.reserveStep",
        "4m",
        "Bytes of the log that are written ahead at a time; never more than preAllocSize",
        |draft, given| {
            draft.settings.core.storage.reserve_step = at_least(given.bytes()?, 64 << 10)?;
            Ok(())
        },
    ),
    Key::honoured(
        Own,
        "zoetrope.heldReserve",
        "256k",
        "Bytes of the log kept for closing sessions and deletes while the disk is full",
        |draft, given| {
            draft.settings.core.storage.held_reserve = at_least(given.bytes()?, 4096)?;
            Ok(())
        },
    ),
    Key::honoured(
        Own,
        "zoetrope.snapshotSlice",
        "64k",
        "Bytes of a snapshot that are written between two turns of serving clients",
        |draft, given| {
            let bytes = at_least(given.bytes()?, 4096)?;
            draft.settings.core.storage.slice_bytes = bytes.min(64 << 20) as u32;
            Ok(())
        },
    ),
];

fn at_least(bytes: u64, min: u64) -> Result<u64, Fault> {
    if bytes < min {
        return Err(Fault::Error(format!("{bytes} bytes are too few: at least {min} are needed")));
    }
    Ok(bytes)
}
