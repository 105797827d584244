//! bincode as recordings use it, and the fields that need help. Knows no record.

use bincode::config::{Configuration, standard};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use serde::{Deserialize, Serialize};

/// Appends a value to `out`.
pub(super) fn encode(value: &impl Serialize, out: &mut Vec<u8>) {
    let done = bincode::serde::encode_into_writer(value, Appends(out), standard());
    done.expect("what is in memory can be written down");
}

struct Appends<'a>(&'a mut Vec<u8>);

impl Writer for Appends<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Reads a value from the front of `bytes`, and how many of them it takes. No length in them is believed beyond a small
/// multiple of what there is.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, usize), DecodeError> {
    fn with<'a, T: Deserialize<'a>, const LIMIT: usize>(
        bytes: &'a [u8],
    ) -> Result<(T, usize), DecodeError> {
        let config: Configuration = standard();
        bincode::serde::borrow_decode_from_slice(bytes, config.with_limit::<LIMIT>())
    }
    match bytes.len() {
        0..0x1000 => with::<T, 0x1_0000>(bytes),
        0x1000..0x10_0000 => with::<T, 0x100_0000>(bytes),
        0x10_0000..0x800_0000 => with::<T, 0x7fff_ffff>(bytes),
        _ => bincode::serde::borrow_decode_from_slice(bytes, standard()),
    }
}

/// Bytes in one go.
pub(crate) mod bytes {
    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }
}

/// Shared bytes in one go.
pub(crate) mod optional_bytes {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serialize, Serializer};
    use std::fmt;
    use std::sync::Arc;

    struct Bytes<'a>(&'a [u8]);

    impl Serialize for Bytes<'_> {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_bytes(self.0)
        }
    }

    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Arc<[u8]>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Bytes).serialize(to)
    }

    struct Shared;

    impl<'de> Visitor<'de> for Shared {
        type Value = Option<Arc<[u8]>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes, or none")
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            from.deserialize_bytes(self)
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(Some(Arc::from(bytes)))
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Arc<[u8]>>, D::Error> {
        from.deserialize_option(Shared)
    }
}

/// A running Adler-32 checksum.
pub(crate) mod adler {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use simd_adler32::Adler32;

    pub(crate) fn serialize<S: Serializer>(sum: &Adler32, to: S) -> Result<S::Ok, S::Error> {
        sum.clone().finish().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Adler32, D::Error> {
        u32::deserialize(from).map(Adler32::from_checksum)
    }
}

/// What is never there when a server is copied.
pub(crate) mod never {
    use serde::{Deserializer, Serializer, de, ser};

    pub(crate) fn serialize<T, S: Serializer>(_: &T, _: S) -> Result<S::Ok, S::Error> {
        Err(ser::Error::custom("a server is not copied while this goes on"))
    }

    pub(crate) fn deserialize<'de, T, D: Deserializer<'de>>(_: D) -> Result<T, D::Error> {
        Err(de::Error::custom("a server was not copied while this went on"))
    }
}
