//! What the connecting side of an election link says first (quorum protocol §3.1). Nobody
//! answers it.

use zoetrope_core::{HostPort, Sid};

/// One address follows.
const V1: i64 = -65536;
/// Addresses joined by `|` follow.
const V2: i64 = -65535;
const ADDRESSES_MAX: i32 = 2048;

/// Who is at the other end, and where it may be called back. The 3.4 form names no address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) sid: Sid,
    pub(crate) addresses: Vec<HostPort>,
}

/// The bytes to be sent in one write: Java reads the address only once (§3.1).
pub(crate) fn encode_hello(sid: Sid, address: &HostPort) -> Vec<u8> {
    let text = match address.host.contains(':') {
        true => format!("[{}]:{}", address.host, address.port),
        false => format!("{}:{}", address.host, address.port),
    };
    let mut bytes = V1.to_be_bytes().to_vec();
    bytes.extend(sid.0.to_be_bytes());
    bytes.extend((text.len() as u32).to_be_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// The hello at the front of `bytes` and its length; `None` while it is not whole.
pub(crate) fn decode_hello(bytes: &[u8]) -> Result<Option<(Hello, usize)>, String> {
    let Some((version, rest)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
    let version = i64::from_be_bytes(*version);
    if version >= 0 {
        return Ok(Some((Hello { sid: Sid(version), addresses: Vec::new() }, 8)));
    }
    if version != V1 && version != V2 {
        return Err(format!(
            "speaks version {version} of the election handshake, which is unknown"
        ));
    }
    let Some((sid, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
    let Some((len, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let len = i32::from_be_bytes(*len);
    if !(1..=ADDRESSES_MAX).contains(&len) {
        return Err(format!("sent an election handshake with an address of {len} bytes"));
    }
    let Some(text) = rest.get(..len as usize) else { return Ok(None) };
    let text = String::from_utf8_lossy(text);
    let addresses: Option<Vec<HostPort>> = match version {
        V1 => address(&text).map(|one| vec![one]),
        _ => text.split('|').map(address).collect(),
    };
    let addresses = addresses.ok_or_else(|| {
        format!("sent the address {text:?}, which is not host:port, in its handshake")
    })?;
    Ok(Some((Hello { sid: Sid(i64::from_be_bytes(*sid)), addresses }, 20 + len as usize)))
}

fn address(text: &str) -> Option<HostPort> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some(())?;
    Some(HostPort { host: host.to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// §16: captured from Java 3.9.5.
    const CAPTURED: &[u8] =
        b"\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\x03\0\0\0\x0e127.0.0.1:2383";

    fn at(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    #[test]
    fn the_captured_handshake_goes_both_ways() {
        assert_eq!(encode_hello(Sid(3), &at("127.0.0.1", 2383)), CAPTURED);
        let hello = Hello { sid: Sid(3), addresses: vec![at("127.0.0.1", 2383)] };
        let mut more = CAPTURED.to_vec();
        more.extend([0, 0, 0, 9]);
        assert_eq!(decode_hello(&more), Ok(Some((hello, CAPTURED.len()))));
        for cut in 0..CAPTURED.len() {
            assert_eq!(decode_hello(&CAPTURED[..cut]), Ok(None), "{cut} bytes");
        }
    }

    #[test]
    fn other_forms_are_understood() {
        let old = decode_hello(&7i64.to_be_bytes());
        assert_eq!(old, Ok(Some((Hello { sid: Sid(7), addresses: vec![] }, 8))));
        let mut two = encode_hello(Sid(4), &at("::1", 3888));
        assert_eq!(decode_hello(&two).unwrap().unwrap().0.addresses, [at("::1", 3888)]);
        two.extend(b"|[fe80::2]:4|name:5");
        two[7] = 1;
        two[19] += 19;
        let addresses = decode_hello(&two).unwrap().unwrap().0.addresses;
        assert_eq!(addresses, [at("::1", 3888), at("fe80::2", 4), at("name", 5)]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(decode_hello(&(-1i64).to_be_bytes()).is_err());
        for len in [0, -1, 2049] {
            let mut bytes = CAPTURED[..16].to_vec();
            bytes.extend(i32::to_be_bytes(len));
            assert!(decode_hello(&bytes).is_err(), "{len}");
        }
        for text in ["here", "here:", ":1", "here:70000"] {
            let mut bytes = CAPTURED[..16].to_vec();
            bytes.extend((text.len() as i32).to_be_bytes());
            bytes.extend(text.as_bytes());
            assert!(decode_hello(&bytes).is_err(), "{text}");
        }
    }
}
