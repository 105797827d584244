//! Reads answered from the tree by one `&self` path. Never changes anything: a watch to register goes to the caller.

use crate::config::Auth;
use crate::ids::{SessionId, Xid, Zxid};
use crate::planted::{Plant, planted};
use crate::tree::{DataTree, Identity, Znode, identities_grant, mask_digests};
use crate::watch::WatchKind;
use crate::wire::{
    ErrorCode, MultiResult, Perms, ReadOp, Request, Writer, begin_frame, encode_acl_vector,
    end_frame, write_header,
};

/// Everything a read may look at.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) auth: &'a Auth,
    pub(super) tree: &'a DataTree,
    pub(super) session: SessionId,
    pub(super) ids: &'a [Identity],
    pub(super) zxid: Zxid,
    /// Bytes that the results of a multiRead may take: a short request can ask for the same znode many times.
    pub(super) room: usize,
}

/// A watch to register with the reply.
pub(super) type Wanted<'r> = Option<(&'r str, WatchKind)>;

impl Reading<'_> {
    /// Appends the reply frame to `out`; says which watch goes with it.
    pub(super) fn answer<'r>(
        &self,
        xid: Xid,
        request: &'r Request<'_>,
        out: &mut Vec<u8>,
    ) -> Wanted<'r> {
        let start = begin_frame(out);
        write_header(&mut Writer::new(out), xid, self.zxid, 0);
        let body = out.len();
        let mut wanted = None;
        if let Err(code) = self.body(request, &mut wanted, &mut Writer::new(out)) {
            // The only failure with a body: what a multiRead has read before a null path.
            let kept = matches!(request, Request::MultiRead(_));
            if !kept || code != ErrorCode::MarshallingError {
                out.truncate(body);
            }
            out[body - 4..body].copy_from_slice(&code.number().to_be_bytes());
        }
        end_frame(out, start);
        wanted
    }

    fn body<'r>(
        &self,
        request: &'r Request<'_>,
        wanted: &mut Wanted<'r>,
        w: &mut Writer<'_>,
    ) -> Result<(), ErrorCode> {
        match request {
            Request::Exists { path, watch } => {
                let path = path.as_deref().ok_or(ErrorCode::MarshallingError)?;
                if path.contains('\0') {
                    return Err(ErrorCode::BadArguments);
                }
                let node = self.tree.get(path);
                if let Some(node) = node {
                    self.may(node, Perms::READ)?;
                }
                let kept = *watch && (node.is_some() || !planted(Plant::ExistsWatchLost));
                *wanted = kept.then_some((path, WatchKind::Data));
                self.tree.stat(node.ok_or(ErrorCode::NoNode)?).encode(w);
            }
            Request::GetData { path, watch } => {
                let path = path.as_deref().ok_or(ErrorCode::MarshallingError)?;
                let node = self.readable(path)?;
                w.buffer(node.data());
                self.tree.stat(node).encode(w);
                *wanted = watch.then_some((path, WatchKind::Data));
            }
            Request::GetChildren { path, watch } | Request::GetChildren2 { path, watch } => {
                let path = path.as_deref().ok_or(ErrorCode::MarshallingError)?;
                self.readable(path)?;
                let id = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
                let node = self.tree.node(id);
                w.count(node.child_count() as usize);
                for name in self.tree.children(id) {
                    w.string(name);
                }
                if matches!(request, Request::GetChildren2 { .. }) {
                    self.tree.stat(node).encode(w);
                }
                *wanted = watch.then_some((path, WatchKind::Children));
            }
            Request::GetAcl { path } => {
                let node = self.present(path.as_deref())?;
                self.may(node, Perms::READ_OR_ADMIN)?;
                let acl = self.tree.acl(node);
                match self.may(node, Perms::ADMIN) {
                    _ if planted(Plant::HashesShown) => encode_acl_vector(acl, w),
                    Ok(()) => encode_acl_vector(acl, w),
                    Err(_) => encode_acl_vector(&mask_digests(acl), w),
                }
                self.tree.stat(node).encode(w);
            }
            Request::GetAllChildrenNumber { path } => {
                let path = path.as_deref().ok_or(ErrorCode::MarshallingError)?;
                self.readable(path)?;
                let id = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
                // Java counts the root itself when it is asked for by its other name.
                let itself = usize::from(path.is_empty());
                w.int((self.tree.descendants(id) + itself) as i32);
            }
            Request::GetEphemerals { prefix } => {
                let prefix = prefix.as_deref().unwrap_or("");
                let everything = prefix == "/" || prefix.chars().all(char::is_whitespace);
                let mut listed = self.tree.ephemerals_of(self.session);
                listed.retain(|path| everything || path.starts_with(prefix));
                w.strings(&listed);
            }
            Request::Sync { path } => w.buffer(path.as_ref().map(|path| path.as_bytes())),
            Request::WhoAmI => {
                w.count(self.ids.len());
                for id in self.ids {
                    w.string(&id.scheme);
                    w.string(self.display(id));
                }
            }
            Request::MultiRead(ops) => self.multi_read(ops, w)?,
            Request::Ping => {}
            other => unreachable!("{:?} is not answered from the tree", other.op()),
        }
        Ok(())
    }

    /// A null path spoils what follows it; what was read before stays in the answer.
    fn multi_read(&self, ops: &[ReadOp<'_>], w: &mut Writer<'_>) -> Result<(), ErrorCode> {
        let most = w.written() + self.room;
        for op in ops {
            if w.written() > most {
                return Err(ErrorCode::BadArguments);
            }
            match self.one_of_many(op) {
                Err(ErrorCode::MarshallingError) => {
                    MultiResult::encode_end(w);
                    return Err(ErrorCode::MarshallingError);
                }
                Err(code) => MultiResult::Failed(Some(code)).encode(w),
                Ok(result) => result.encode(w),
            }
        }
        MultiResult::encode_end(w);
        Ok(())
    }

    fn one_of_many<'s>(&'s self, op: &ReadOp<'_>) -> Result<MultiResult<'s>, ErrorCode> {
        Ok(match op {
            ReadOp::GetData { path } => {
                let node = match planted(Plant::MultiReadWithoutAcl) {
                    true => self.present(path.as_deref())?,
                    false => self.readable(path.as_deref().ok_or(ErrorCode::MarshallingError)?)?,
                };
                MultiResult::Data(node.data(), self.tree.stat(node))
            }
            ReadOp::GetChildren { path } => {
                let path = path.as_deref().ok_or(ErrorCode::MarshallingError)?;
                self.readable(path)?;
                let id = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
                MultiResult::Children(self.tree.children(id).collect())
            }
        })
    }

    fn present(&self, path: Option<&str>) -> Result<&Znode, ErrorCode> {
        self.tree.get(path.ok_or(ErrorCode::MarshallingError)?).ok_or(ErrorCode::NoNode)
    }

    fn readable(&self, path: &str) -> Result<&Znode, ErrorCode> {
        let node = self.tree.get(path).ok_or(ErrorCode::NoNode)?;
        self.may(node, Perms::READ)?;
        Ok(node)
    }

    fn may(&self, node: &Znode, asked: Perms) -> Result<(), ErrorCode> {
        match identities_grant(self.auth, self.tree.acl(node), self.ids, asked) {
            true => Ok(()),
            false => Err(ErrorCode::NoAuth),
        }
    }

    /// How whoAmI shows an identity: a digest without its hash, nothing where no provider knows the scheme.
    fn display<'s>(&self, id: &'s Identity) -> &'s str {
        match &*id.scheme {
            "digest" if !self.auth.digest_disabled => id.id.split(':').next().unwrap_or(""),
            "ip" => &id.id,
            "x509" if self.auth.x509 => &id.id,
            "sasl" if self.auth.sasl => &id.id,
            _ => "",
        }
    }
}
