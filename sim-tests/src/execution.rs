//! What a committed txn does to the model, and what its client must be answered.

use crate::model::{Answer, Context, Happening, Model, Place, QUOTA_EXCEEDED};
use crate::request::{decode, is_create_of_ephemeral};
use std::collections::BTreeSet;
use zoetrope_core::wire::{CreateKind, Txn, TxnHeader, decode_txn};
use zoetrope_io_sim::LocalSessions;

pub(crate) const SESSION_EXPIRED: i32 = -112;
pub(crate) const SESSION_MOVED: i32 = -118;
const EPHEMERAL_ON_LOCAL_SESSION: i32 = -120;

/// A record of the log.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) header: TxnHeader,
    pub(crate) txn: Txn,
    pub(crate) digest: Option<u64>,
    /// Whoever proposed it had applied at least this much then.
    pub(crate) applied: i64,
}

/// The client that waits for a txn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) frame: &'a [u8],
    /// What it had proven to be when it asked.
    pub(crate) ids: &'a [(String, String)],
    /// Another server had welcomed the session before this was asked.
    pub(crate) has_moved: bool,
}

/// What sessions are like where a record comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// There are other servers. They may have ended or taken over a session, and follow what is executed.
    pub(crate) together: bool,
    pub(crate) local: LocalSessions,
}

/// What came of a record.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    pub(crate) zxid: i64,
    pub(crate) session: i64,
    pub(crate) xid: i32,
    /// The session begins with this timeout.
    pub(crate) begins: Option<i32>,
    /// The session ends.
    pub(crate) ends: bool,
    /// Whoever asked must be answered this.
    pub(crate) answer: Option<Answer>,
    pub(crate) happenings: Vec<Happening>,
    /// Of an ensemble, every znode that was changed.
    pub(crate) places: Vec<Place>,
}

impl Record {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (header, txn, digest) = decode_txn(bytes).map_err(|e| e.to_string())?;
        Ok(Self { header, txn, digest, applied: 0 })
    }

    /// Does a session begin with it?
    pub(crate) fn creates_session(&self) -> bool {
        matches!(self.txn, Txn::CreateSession { .. })
    }

    /// The next txn of the order that `model` is at.
    pub(crate) fn execute(
        &self,
        model: &mut Model,
        asked: Option<Asked<'_>>,
        rules: Rules,
    ) -> Result<Executed, String> {
        let Self { header, txn, digest, applied } = self;
        let (zxid, session) = (header.zxid.0, header.session.0);
        let mut cx = Context { time: header.time_ms, session, ..Context::at(zxid) };
        cx.applied = *applied;
        model.begin(zxid);
        if makes_ephemeral(txn) && !model.sessions.contains_key(&session) {
            return Err(format!(
                "P2: {zxid:#x} makes an ephemeral of session {session:#x}, which not every server knows"
            ));
        }
        let (mut begins, mut answer) = (None, None);
        match (txn, asked) {
            (Txn::CreateSession { timeout_ms }, _) => {
                begins = Some(*timeout_ms);
                model.sessions.insert(session, *timeout_ms);
            }
            (Txn::Delete { path, by_server: true }, None) => model.reap(path, &cx)?,
            (Txn::CloseSession { paths }, asked) => {
                let order: Vec<&str> = paths.iter().flatten().map(|path| &**path).collect();
                let mine = model.ephemerals(session);
                if order.iter().copied().collect::<BTreeSet<_>>() != mine {
                    return Err(format!(
                        "{zxid:#x}: {order:?} go with {session:#x}, which owns {mine:?}"
                    ));
                }
                model.close_session(session, zxid, &order);
                answer = asked.map(|_| Ok(Vec::new()));
            }
            (txn, Some(asked)) => answer = Some(decide(model, txn, asked, &mut cx, rules)?),
            (txn, None) => replay(model, txn, &cx),
        }
        model.count_quotas();
        let ours = model.digest;
        if let Some(digest) = digest.filter(|digest| *digest != ours) {
            return Err(format!(
                "{zxid:#x}: the log's digest is {digest:x}, the model's {ours:x} ({txn:?})"
            ));
        }
        Ok(Executed {
            zxid,
            session,
            xid: header.cxid.0,
            begins,
            ends: matches!(txn, Txn::CloseSession { .. }),
            answer,
            happenings: model.take_happenings(),
            places: if rules.together { model.changes() } else { Vec::new() },
        })
    }
}

impl Executed {
    /// Brings another model to where the one is that executed it.
    pub(crate) fn apply_to(&self, model: &mut Model) {
        model.follow(self.zxid, &self.places);
        if let Some(timeout_ms) = self.begins {
            model.sessions.insert(self.session, timeout_ms);
        }
        if self.ends {
            model.sessions.remove(&self.session);
        }
    }
}

/// A request whose client we know: the model decides it again.
fn decide(
    model: &mut Model,
    txn: &Txn,
    asked: Asked<'_>,
    cx: &mut Context,
    rules: Rules,
) -> Result<Answer, String> {
    cx.ids = asked.ids.to_vec();
    cx.over_quota = over_quota(txn);
    let request = decode(asked.frame);
    let stays_local =
        rules.local == LocalSessions::Kept && !model.sessions.contains_key(&cx.session);
    let may_not_own = stays_local && is_create_of_ephemeral(request.as_ref());
    if rules.together
        && !may_not_own
        && let Txn::Error { code: code @ (SESSION_EXPIRED | SESSION_MOVED) } = txn
    {
        return Ok(Err(*code));
    }
    if stays_local {
        cx.no_ephemerals = Some(refusal_of(txn));
    }
    let answer = match request {
        _ if may_not_own => Err(EPHEMERAL_ON_LOCAL_SESSION),
        Some(request) => model.write(&request, cx),
        None => Err(-5),
    };
    let refused = matches!(txn, Txn::Error { .. });
    if refused != answer.is_err() {
        return Err(format!("{:#x}: the log says {txn:?}, the model {answer:?}", cx.zxid));
    }
    Ok(answer)
}

/// A record nobody waits for: its client is gone. What it says is done.
fn replay(model: &mut Model, txn: &Txn, cx: &Context) {
    let parts = match txn {
        Txn::Multi(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    if !parts.iter().any(|part| matches!(part, Txn::Error { .. })) {
        parts.iter().for_each(|part| model.force(part, cx));
    }
}

fn makes_ephemeral(txn: &Txn) -> bool {
    match txn {
        Txn::Create { kind, .. } => matches!(kind, CreateKind::Plain { ephemeral: true, .. }),
        Txn::Multi(parts) if !parts.iter().any(|part| matches!(part, Txn::Error { .. })) => {
            parts.iter().any(makes_ephemeral)
        }
        _ => false,
    }
}

/// Which part of a request was refused because of a quota.
fn over_quota(txn: &Txn) -> Option<usize> {
    let parts = match txn {
        Txn::Multi(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    parts.iter().position(|part| matches!(part, Txn::Error { code: QUOTA_EXCEEDED }))
}

/// How a leader says that a session may not own ephemerals: it knows the reason of its own ones only.
fn refusal_of(txn: &Txn) -> i32 {
    let of = |txn: &Txn| match txn {
        Txn::Error { code } if *code == EPHEMERAL_ON_LOCAL_SESSION => Some(*code),
        _ => None,
    };
    let found = match txn {
        Txn::Multi(parts) => parts.iter().find_map(of),
        one => of(one),
    };
    found.unwrap_or(SESSION_EXPIRED)
}
