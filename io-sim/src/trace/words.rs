//! Requests and txns in words: what they do, to which znode, with how much data.

use zoetrope_core::wire::{CreateKind, MultiOp, OpCode, Reader, Request, Txn};

/// More operations of a multi are only counted.
const OPS_MAX: usize = 8;

/// A request, by the number of its operation and what stands behind its header.
pub(super) fn operation(kind: i32, body: &mut Reader<'_>) -> String {
    let Some(op) = OpCode::from_number(kind) else {
        return format!("operation {kind}, which does not exist");
    };
    // No client asks for it; a learner does so for its client.
    if op == OpCode::CreateSession
        && let Ok(ms) = body.int()
    {
        return format!("{op:?} of {ms} ms");
    }
    match Request::decode(op, body) {
        Ok(request) => format!("{op:?}{}", request_rest(&request)),
        Err(_) => format!("{op:?} that cannot be read"),
    }
}

fn request_rest(request: &Request<'_>) -> String {
    match request {
        Request::Create(create) => {
            format!(
                "{}, {}, mode {}",
                of_path(create.path.as_deref()),
                size(create.data),
                create.flags
            )
        }
        Request::SetData { path, data, version } => {
            format!("{}, {}{}", of_path(path.as_deref()), size(*data), if_version(*version))
        }
        Request::Delete { path, version } | Request::SetAcl { path, version, .. } => {
            format!("{}{}", of_path(path.as_deref()), if_version(*version))
        }
        Request::Exists { path, watch }
        | Request::GetData { path, watch }
        | Request::GetChildren { path, watch }
        | Request::GetChildren2 { path, watch } => {
            let watch = if *watch { ", with a watch" } else { "" };
            format!("{}{watch}", of_path(path.as_deref()))
        }
        Request::GetAcl { path }
        | Request::Sync { path }
        | Request::CheckWatches { path, .. }
        | Request::RemoveWatches { path, .. }
        | Request::GetAllChildrenNumber { path }
        | Request::AddWatch { path, .. } => of_path(path.as_deref()),
        Request::Multi(ops) => list(ops.iter().map(multi_op)),
        Request::MultiRead(ops) => format!(" of {}", ops.len()),
        _ => String::new(),
    }
}

fn multi_op(op: &MultiOp<'_>) -> String {
    match op {
        MultiOp::Create(create) => format!("{:?}{}", create.op, of_path(create.path.as_deref())),
        MultiOp::BadCreate => "a create of no kind".to_owned(),
        MultiOp::Delete { path, .. } => format!("Delete {path}"),
        MultiOp::SetData { path, .. } => format!("SetData {path}"),
        MultiOp::Check { path, version } => format!("Check {path}{}", if_version(*version)),
    }
}

/// A txn.
pub(super) fn txn(txn: &Txn) -> String {
    let op = txn.op();
    match txn {
        Txn::Create { path, data, kind, .. } => {
            let more = match kind {
                CreateKind::Plain { ephemeral: true, .. } => ", ephemeral".to_owned(),
                CreateKind::Ttl { ttl_ms } => format!(", for {ttl_ms} ms"),
                _ => String::new(),
            };
            format!("{op:?} {path}, {}{more}", size(data.as_deref()))
        }
        Txn::SetData { path, data, version, .. } => {
            format!("{op:?} {path}, {}, version {version}", size(data.as_deref()))
        }
        Txn::Delete { path, .. } => format!("{op:?} {path}"),
        Txn::SetAcl { path, version, .. } | Txn::Check { path, version } => {
            format!("{op:?} {path}, version {version}")
        }
        Txn::Multi(txns) => format!("{op:?}{}", list(txns.iter().map(self::txn))),
        Txn::CreateSession { timeout_ms } => format!("{op:?} of {timeout_ms} ms"),
        Txn::CloseSession { paths } => {
            format!("{op:?} with {} ephemerals", paths.as_ref().map_or(0, Vec::len))
        }
        Txn::Error { code } => format!("{op:?} {code}"),
    }
}

fn of_path(path: Option<&str>) -> String {
    path.map_or_else(String::new, |path| format!(" {path}"))
}

fn size(data: Option<&[u8]>) -> String {
    data.map_or_else(|| "no data".to_owned(), |data| format!("{} bytes", data.len()))
}

/// −1 asks for no version.
fn if_version(version: i32) -> String {
    if version == -1 { String::new() } else { format!(", if version {version}") }
}

fn list(all: impl ExactSizeIterator<Item = String>) -> String {
    let count = all.len();
    let mut said: Vec<String> = all.take(OPS_MAX).collect();
    if count > OPS_MAX {
        said.push("…".to_owned());
    }
    format!(" of {count}: {}", said.join("; "))
}
