//! As much of the client protocol as a load needs. Written apart from the server's own codec, so
//! that a mistake there cannot hide here.

/// Operation numbers.
const CREATE: i32 = 1;
const DELETE: i32 = 2;
const EXISTS: i32 = 3;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const GET_CHILDREN: i32 = 8;
const CLOSE_SESSION: i32 = -11;

/// What a request asks for. Paths are borrowed: encoding copies them once.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op<'a> {
    Create(&'a str, &'a [u8]),
    Delete(&'a str),
    Exists(&'a str),
    GetData(&'a str),
    SetData(&'a str, &'a [u8]),
    GetChildren(&'a str),
    CloseSession,
}

fn int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    int(out, i32::try_from(value.len()).expect("a request is far below 2 GiB"));
    out.extend_from_slice(value);
}

/// Appends `body` as one frame: its length is filled in when it is known.
fn frame(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    int(out, 0);
    body(out);
    let length = u32::try_from(out.len() - at - 4).expect("a request is far below 4 GiB");
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends the request of a new session.
pub(crate) fn connect(out: &mut Vec<u8>, timeout_ms: i32) {
    frame(out, |out| {
        int(out, 0);
        out.extend_from_slice(&[0; 8]);
        int(out, timeout_ms);
        out.extend_from_slice(&[0; 8]);
        bytes(out, &[0; 16]);
        out.push(0);
    });
}

/// Appends one request.
pub(crate) fn request(out: &mut Vec<u8>, xid: i32, op: Op<'_>) {
    frame(out, |out| {
        int(out, xid);
        match op {
            Op::Create(path, data) => {
                int(out, CREATE);
                bytes(out, path.as_bytes());
                bytes(out, data);
                int(out, 1);
                int(out, 31);
                bytes(out, b"world");
                bytes(out, b"anyone");
                int(out, 0);
            }
            Op::Delete(path) => {
                int(out, DELETE);
                bytes(out, path.as_bytes());
                int(out, -1);
            }
            Op::SetData(path, data) => {
                int(out, SET_DATA);
                bytes(out, path.as_bytes());
                bytes(out, data);
                int(out, -1);
            }
            Op::Exists(path) => read(out, EXISTS, path),
            Op::GetData(path) => read(out, GET_DATA, path),
            Op::GetChildren(path) => read(out, GET_CHILDREN, path),
            Op::CloseSession => int(out, CLOSE_SESSION),
        }
    });
}

fn read(out: &mut Vec<u8>, operation: i32, path: &str) {
    int(out, operation);
    bytes(out, path.as_bytes());
    out.push(0);
}

/// The head of a reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) xid: i32,
    pub(crate) error: i32,
}

fn int_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The length of the first frame's body, if its four bytes are there.
pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < 4 {
        return None;
    }
    usize::try_from(int_at(bytes, 0)).ok()
}

/// Reads the head of a reply out of the body of its frame.
pub(crate) fn reply(body: &[u8]) -> Option<Reply> {
    (body.len() >= 16).then(|| Reply { xid: int_at(body, 0), error: int_at(body, 12) })
}
