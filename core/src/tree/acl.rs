//! Who may do what: the table of ACLs znodes share, evaluation, and what a client's ACL becomes (client protocol §3.9).

use crate::config::Auth;
use crate::wire::{Acl, AclSpec, ErrorCode, Perms};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Names an ACL of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct AclId(pub(crate) u32);

/// The ACL of the znodes the server makes itself: open to the world; −1 on disk, and in no table.
pub(crate) const OPEN: AclId = AclId(0);

/// What a connection has proven.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) scheme: Box<str>,
    pub(crate) id: Box<str>,
}

impl Identity {
    pub(crate) fn new(scheme: &str, id: &str) -> Self {
        Self { scheme: scheme.into(), id: id.into() }
    }
}

/// ACLs by number and by content, counted by the znodes that use them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AclTable {
    open: Arc<[Acl]>,
    by_id: BTreeMap<AclId, (Arc<[Acl]>, u32)>,
    by_list: BTreeMap<Arc<[Acl]>, AclId>,
    /// Numbers are not used again while the server lives: a snapshot under way may still name an old one.
    next: AclId,
}

impl AclTable {
    pub(crate) fn new() -> Self {
        Self {
            open: Arc::from([Acl::world(Perms::ALL)]),
            by_id: BTreeMap::new(),
            by_list: BTreeMap::new(),
            next: AclId(1),
        }
    }

    /// The ACL of that number.
    pub(crate) fn list(&self, id: AclId) -> &Arc<[Acl]> {
        match self.by_id.get(&id) {
            Some((list, _)) => list,
            None => {
                assert!(id == OPEN, "a znode names ACL {id:?}, which the table does not have");
                &self.open
            }
        }
    }

    /// One more znode uses this ACL.
    pub(crate) fn add(&mut self, list: &Arc<[Acl]>) -> AclId {
        if let Some(id) = self.by_list.get(list) {
            let (_, users) = self.by_id.get_mut(id).expect("both maps hold the same ACLs");
            *users += 1;
            return *id;
        }
        let id = self.next;
        self.next = AclId(id.0 + 1);
        self.by_list.insert(list.clone(), id);
        self.by_id.insert(id, (list.clone(), 1));
        id
    }

    /// One znode less uses it.
    pub(crate) fn remove(&mut self, id: AclId) {
        if id == OPEN {
            return;
        }
        let (list, users) = self.by_id.get_mut(&id).expect("a znode used this ACL");
        *users -= 1;
        if *users == 0 {
            self.by_list.remove(list);
            self.by_id.remove(&id);
        }
    }

    /// Every ACL in use, by number.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (AclId, &Arc<[Acl]>)> {
        self.by_id.iter().map(|(id, (list, _))| (*id, list))
    }
}

/// May a connection with these identities do one of `asked` (client protocol §3.9.2)?
pub(crate) fn identities_grant(config: &Auth, acl: &[Acl], ids: &[Identity], asked: Perms) -> bool {
    if config.skip_acl || acl.is_empty() {
        return true;
    }
    let is_super = || ids.iter().any(|id| &*id.scheme == "super");
    acl.iter().any(|entry| entry.perms.grants(asked) && entry_matches(config, entry, ids))
        || is_super()
}

fn entry_matches(config: &Auth, entry: &Acl, ids: &[Identity]) -> bool {
    if &*entry.scheme == "world" {
        return &*entry.id == "anyone";
    }
    ids.iter().filter(|id| id.scheme == entry.scheme).any(|id| match &*entry.scheme {
        "ip" => ip_matches(&id.id, &entry.id),
        "sasl" => {
            config.sasl
                && (id.id == entry.id
                    || &*id.id == "super"
                    || config.any_sasl_user.as_deref() == Some(&*entry.id))
        }
        "digest" => !config.digest_disabled && id.id == entry.id,
        "x509" => config.x509 && id.id == entry.id,
        _ => false,
    })
}

/// An address and how many of its leading bits count.
fn parse_network(text: &str) -> Option<(IpAddr, u32)> {
    let (addr, bits) = match text.split_once('/') {
        Some((addr, bits)) => (addr, Some(bits.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let addr: IpAddr = addr.parse().ok()?;
    let width = if addr.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(width);
    (bits <= width).then_some((addr, bits))
}

fn ip_matches(client: &str, entry: &str) -> bool {
    let (Ok(client), Some((network, bits))) = (client.parse::<IpAddr>(), parse_network(entry))
    else {
        return false;
    };
    let same_prefix = |a: u128, b: u128, width: u32| bits == 0 || (a ^ b) >> (width - bits) == 0;
    match (client, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same_prefix(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same_prefix(a.to_bits(), b.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// What the ACL of a create or setACL becomes (client protocol §3.9.3): duplicates removed, `auth` replaced by
/// what the connection has proven. It must fit into `room` bytes.
pub(crate) fn fix_up(
    config: &Auth,
    specs: &[AclSpec<'_>],
    ids: &[Identity],
    mut room: usize,
) -> Result<Vec<Acl>, ErrorCode> {
    let mut fixed: Vec<Acl> = Vec::with_capacity(specs.len());
    let mut seen: BTreeSet<&AclSpec<'_>> = BTreeSet::new();
    for spec in specs {
        if !seen.insert(spec) {
            continue;
        }
        let scheme = spec.scheme.as_deref().ok_or(ErrorCode::InvalidAcl)?;
        if scheme == "auth" {
            let before = fixed.len();
            // A short list may stand for a long one.
            for id in ids.iter().filter(|id| is_authenticated(config, &id.scheme)) {
                let needs = 12 + id.scheme.len() + id.id.len();
                room = room.checked_sub(needs).ok_or(ErrorCode::BadArguments)?;
                fixed.push(Acl::new(spec.perms, &id.scheme, &id.id));
            }
            if fixed.len() == before {
                return Err(ErrorCode::InvalidAcl);
            }
            continue;
        }
        let id = match (scheme, spec.id.as_deref()) {
            (_, Some(id)) => id,
            ("world" | "digest" | "ip", None) => return Err(ErrorCode::MarshallingError),
            (_, None) => return Err(ErrorCode::InvalidAcl),
        };
        if !is_valid_id(config, scheme, id) {
            return Err(ErrorCode::InvalidAcl);
        }
        fixed.push(Acl::new(spec.perms, scheme, id));
    }
    if fixed.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(fixed) }
}

/// Is there a provider for the scheme whose identities prove somebody?
fn is_authenticated(config: &Auth, scheme: &str) -> bool {
    match scheme {
        "digest" => !config.digest_disabled,
        "sasl" => config.sasl,
        "x509" => config.x509,
        _ => false,
    }
}

fn is_valid_id(config: &Auth, scheme: &str, id: &str) -> bool {
    match scheme {
        "world" => id == "anyone",
        "ip" => parse_network(id).is_some(),
        // Java's split drops empty parts at the end.
        "digest" => !config.digest_disabled && id.trim_end_matches(':').split(':').count() == 2,
        "x509" => config.x509 && !id.is_empty(),
        "sasl" => config.sasl && !id.is_empty(),
        _ => false,
    }
}

/// The ACL as somebody without ADMIN may see it: the hashes of `digest` ids are hidden.
pub(crate) fn mask_digests(acl: &[Acl]) -> Vec<Acl> {
    let mask = |entry: &Acl| match entry.id.split_once(':') {
        Some((user, _)) if &*entry.scheme == "digest" => {
            Acl::new(entry.perms, "digest", &format!("{user}:x"))
        }
        Some(_) | None => entry.clone(),
    };
    acl.iter().map(mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(scheme: &'static str, id: &'static str) -> AclSpec<'static> {
        AclSpec { perms: Perms::ALL, scheme: Some(scheme.into()), id: Some(id.into()) }
    }

    #[test]
    fn auth_becomes_every_proven_identity_and_duplicates_go() {
        let config = Auth::default();
        let ids = [
            Identity::new("ip", "127.0.0.1"),
            Identity::new("digest", "a:h"),
            Identity::new("super", ""),
        ];
        let fixed = fix_up(&config, &[spec("auth", "ignored"), spec("auth", "ignored")], &ids, 100);
        assert_eq!(fixed, Ok(vec![Acl::new(Perms::ALL, "digest", "a:h")]));
        assert_eq!(
            fix_up(&config, &[spec("auth", "")], &ids[..1], 100),
            Err(ErrorCode::InvalidAcl)
        );
        assert_eq!(fix_up(&config, &[], &ids, 100), Err(ErrorCode::InvalidAcl));
        for (scheme, id) in [("world", "me"), ("digest", "a"), ("sasl", "x"), ("ip", "1.2.3.4/33")]
        {
            assert_eq!(fix_up(&config, &[spec(scheme, id)], &ids, 100), Err(ErrorCode::InvalidAcl));
        }
    }

    #[test]
    fn a_short_list_of_auth_cannot_become_an_endless_one() {
        let ids: Vec<Identity> =
            (0..100).map(|n| Identity::new("digest", &format!("user{n}:hash"))).collect();
        let specs: Vec<AclSpec<'_>> =
            (0..1000).map(|n| AclSpec { perms: Perms(n), ..spec("auth", "") }).collect();
        let fixed = |room| fix_up(&Auth::default(), &specs, &ids, room);
        assert_eq!(fixed(1 << 20), Err(ErrorCode::BadArguments));
        assert_eq!(fixed(4 << 20).map(|acl| acl.len()), Ok(100_000));
    }

    #[test]
    fn an_ip_entry_matches_its_network_only() {
        assert!(ip_matches("10.1.2.3", "10.1.0.0/16"));
        assert!(ip_matches("10.1.2.3", "0.0.0.0/0"));
        assert!(!ip_matches("10.2.2.3", "10.1.0.0/16"));
        assert!(ip_matches("0:0:0:0:0:0:0:1", "::1"));
        assert!(!ip_matches("127.0.0.1", "::1"));
    }

    #[test]
    fn an_acl_lives_as_long_as_a_znode_uses_it() {
        let mut table = AclTable::new();
        let list: Arc<[Acl]> = Arc::from([Acl::world(Perms::READ)]);
        let id = table.add(&list);
        assert_eq!(table.add(&list), id);
        table.remove(id);
        assert_eq!(table.list(id), &list);
        table.remove(id);
        assert_eq!(table.iter().len(), 0);
        assert_ne!(table.add(&list), id);
    }

    #[test]
    fn an_identity_matches_where_its_scheme_is_switched_on() {
        let all = Auth { x509: true, sasl: true, ..Auth::default() };
        let off = Auth { digest_disabled: true, ..Auth::default() };
        for scheme in ["digest", "x509", "sasl"] {
            let acl = [Acl::new(Perms::READ, scheme, "me:x")];
            let grants = |config, scheme, id, asked| {
                identities_grant(config, &acl, &[Identity::new(scheme, id)], asked)
            };
            assert!(grants(&all, scheme, "me:x", Perms::READ), "{scheme}");
            assert!(grants(&all, scheme, "me:x", Perms::READ_OR_ADMIN));
            assert!(!grants(&all, scheme, "me:x", Perms::WRITE));
            assert!(!grants(&all, scheme, "you:x", Perms::READ));
            assert!(!grants(&all, "ip", "me:x", Perms::READ));
            assert!(!grants(&off, scheme, "me:x", Perms::READ), "{scheme} is switched off");
            assert!(grants(&all, "super", "", Perms::WRITE));
            let skips = Auth { skip_acl: true, ..off.clone() };
            assert!(grants(&skips, "ip", "", Perms::WRITE));
        }
        let default = Auth::default();
        assert!(identities_grant(&default, &[], &[], Perms::ADMIN), "no ACL is no hindrance");
        assert!(identities_grant(&default, &[Acl::world(Perms::READ)], &[], Perms::READ));
        let world = |id| [Acl::new(Perms::ALL, "world", id)];
        assert!(!identities_grant(&default, &world("me"), &[], Perms::READ));
        let mine = [Identity::new("world", "me"), Identity::new("auth", "me")];
        assert!(!identities_grant(&default, &world("me"), &mine, Perms::READ));
        let auth = [Acl::new(Perms::ALL, "auth", "me")];
        assert!(!identities_grant(&default, &auth, &mine, Perms::READ), "nobody proves that");
        let network = [Acl::new(Perms::ALL, "ip", "10.1.0.0/16")];
        let from = |addr| [Identity::new("ip", addr)];
        assert!(identities_grant(&default, &network, &from("10.1.2.3"), Perms::READ));
        assert!(!identities_grant(&default, &network, &from("10.2.2.3"), Perms::READ));
    }

    #[test]
    fn a_sasl_entry_may_stand_for_every_sasl_user() {
        let acl = [Acl::new(Perms::ALL, "sasl", "x")];
        let grants = |any: Option<&str>, id| {
            let config =
                Auth { sasl: true, any_sasl_user: any.map(str::to_owned), ..Auth::default() };
            identities_grant(&config, &acl, &[Identity::new("sasl", id)], Perms::READ)
        };
        assert!(grants(None, "super") && grants(Some("x"), "anybody"));
        assert!(!grants(None, "anybody") && !grants(Some("y"), "anybody"));
    }

    #[test]
    fn what_may_stand_in_an_acl_depends_on_the_schemes_there_are() {
        let all = Auth { x509: true, sasl: true, ..Auth::default() };
        let default = Auth::default();
        let off = Auth { digest_disabled: true, ..Auth::default() };
        let stored = |config, scheme, id| fix_up(config, &[spec(scheme, id)], &[], 1000).is_ok();
        for (scheme, id) in
            [("digest", "u:h"), ("digest", "u:h::"), ("ip", "::1"), ("ip", "1.2.3.4/32")]
        {
            assert!(stored(&default, scheme, id), "{scheme}:{id}");
        }
        for (scheme, id) in [
            ("digest", "a:b:c"),
            ("digest", ":"),
            ("digest", ""),
            ("ip", "1.2.3.4/x"),
            ("ip", "::1/129"),
            ("ip", "host"),
            ("super", ""),
            ("", "x"),
            ("x509", "CN=me"),
            ("sasl", "me"),
        ] {
            assert!(!stored(&default, scheme, id), "{scheme}:{id}");
        }
        assert!(!stored(&off, "digest", "u:h"));
        for (scheme, id) in [("x509", "CN=me"), ("sasl", "me")] {
            assert!(stored(&all, scheme, id) && !stored(&all, scheme, ""), "{scheme}");
        }
        let ids = [("digest", "u:h"), ("sasl", "me"), ("x509", "CN=me"), ("ip", "1.2.3.4")]
            .map(|(scheme, id)| Identity::new(scheme, id));
        let proven = |config| fix_up(config, &[spec("auth", "")], &ids, 1000);
        let entry = |n: usize| Acl::new(Perms::ALL, &ids[n].scheme, &ids[n].id);
        assert_eq!(proven(&all), Ok(vec![entry(0), entry(1), entry(2)]));
        assert_eq!(proven(&default), Ok(vec![entry(0)]));
        assert_eq!(proven(&off), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn entries_keep_their_order_and_nulls_are_told_apart() {
        let config = Auth::default();
        let entry = |perms, id: &'static str| AclSpec { perms, ..spec("digest", id) };
        let (read, all) = (entry(Perms::READ, "a:b"), entry(Perms::ALL, "a:b"));
        let fixed = fix_up(&config, &[read.clone(), all.clone(), read], &[], 1000);
        let stored = |perms| Acl::new(perms, "digest", "a:b");
        assert_eq!(fixed, Ok(vec![stored(Perms::READ), stored(Perms::ALL)]));
        let refused = |spec| fix_up(&config, &[all.clone(), spec], &[], 1000).unwrap_err();
        for scheme in ["world", "digest", "ip"] {
            let unnamed = AclSpec { id: None, ..spec(scheme, "") };
            assert_eq!(refused(unnamed), ErrorCode::MarshallingError, "{scheme}");
        }
        let unnamed = AclSpec { id: None, ..spec("sasl", "") };
        assert_eq!(refused(unnamed), ErrorCode::InvalidAcl);
        assert_eq!(refused(AclSpec { scheme: None, ..spec("", "x") }), ErrorCode::InvalidAcl);
    }

    /// An entry takes its permissions, and two strings behind their lengths.
    #[test]
    fn proven_identities_may_fill_the_room_to_the_last_byte() {
        let ids = [Identity::new("digest", "a:h")];
        let fixed = |room| fix_up(&Auth::default(), &[spec("auth", "")], &ids, room);
        let needs = 4 + (4 + "digest".len()) + (4 + "a:h".len());
        assert_eq!(fixed(needs).map(|acl| acl.len()), Ok(1));
        assert_eq!(fixed(needs - 1), Err(ErrorCode::BadArguments));
    }

    #[test]
    fn hashes_are_hidden_and_nothing_else_is() {
        let all = |scheme, id| Acl::new(Perms::ALL, scheme, id);
        let acl = [all("digest", "u:h"), all("digest", "u"), all("ip", "::1"), all("sasl", "u:h")];
        let masked = [all("digest", "u:x"), acl[1].clone(), acl[2].clone(), acl[3].clone()];
        assert_eq!(mask_digests(&acl), masked);
    }

    #[test]
    fn the_open_acl_is_in_no_table() {
        let mut table = AclTable::new();
        assert_eq!(table.list(OPEN)[..], [Acl::world(Perms::ALL)]);
        table.remove(OPEN);
        let open: Arc<[Acl]> = Arc::from([Acl::world(Perms::ALL)]);
        let named = table.add(&open);
        let read: Arc<[Acl]> = Arc::from([Acl::world(Perms::READ)]);
        let other = table.add(&read);
        assert_ne!(named, OPEN);
        assert_eq!(table.iter().collect::<Vec<_>>(), [(named, &open), (other, &read)]);
        table.remove(named);
        assert_eq!(table.list(other), &read);
    }
}
