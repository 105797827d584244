//! What a client has asked for.

use zoetrope_core::wire::{MultiOp, OpCode, Reader, Request, RequestHeader};

/// The operation, if clients may ask for it.
pub(crate) fn operation(frame: &[u8]) -> Option<OpCode> {
    let header = RequestHeader::decode(&mut Reader::new(frame)).ok()?;
    let op = OpCode::from_number(header.kind)?;
    let internal = [OpCode::Check, OpCode::Error, OpCode::DeleteContainer, OpCode::CreateSession];
    (!internal.contains(&op)).then_some(op)
}

/// The request, if it can be read.
pub(crate) fn decode(frame: &[u8]) -> Option<Request<'_>> {
    let op = operation(frame)?;
    Request::decode(op, &mut Reader::new(frame.get(8..)?)).ok()
}

/// Does a client ask for an ephemeral, alone or in a multi?
pub(crate) fn asks_for_ephemeral(frame: &[u8]) -> bool {
    let request = decode(frame);
    let in_multi = |op: &MultiOp<'_>| matches!(op, MultiOp::Create(c) if matches!(c.flags, 1 | 3));
    is_create_of_ephemeral(request.as_ref())
        || matches!(&request, Some(Request::Multi(ops)) if ops.iter().any(in_multi))
}

/// Does a client ask for an ephemeral, and for nothing else?
pub(crate) fn is_create_of_ephemeral(request: Option<&Request<'_>>) -> bool {
    matches!(request, Some(Request::Create(create)) if matches!(create.flags, 1 | 3))
}

/// Does it take a place in the order?
pub(crate) fn is_write(frame: &[u8]) -> bool {
    use OpCode::{
        CloseSession, Create, Create2, CreateContainer, CreateTtl, Delete, Multi, SetAcl, SetData,
    };
    let writes =
        [Create, Create2, CreateContainer, CreateTtl, Delete, SetData, SetAcl, Multi, CloseSession];
    operation(frame).is_some_and(|op| writes.contains(&op))
}

/// What nobody answers without a quorum.
pub(crate) fn needs_quorum(frame: &[u8]) -> bool {
    let op = operation(frame);
    op == Some(OpCode::Sync) || is_write(frame) && op != Some(OpCode::CloseSession)
}
