use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The leaf hash of RFC 6962, section 2.1, over a line: SHA-256 of a zero byte and the line's raw bytes without its
/// newline. A Merkle tree over the log has these as its leaves.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeafHash([u8; 32]);

impl LeafHash {
    /// The hash of a line, without its newline.
    pub fn of(raw: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update([0]);
        hash.update(raw);
        Self(hash.finalize().into())
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Standard base64 with padding: 44 characters.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`LeafHash::to_base64`] writes, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).ok()?;
        let hash = Self(bytes.try_into().ok()?);
        (hash.to_base64() == text).then_some(hash)
    }
}

impl fmt::Debug for LeafHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_base64())
    }
}

/// As it stands in `prev`: base64, or empty before the first line.
pub(crate) fn prev_text(prev: Option<&LeafHash>) -> String {
    prev.map(LeafHash::to_base64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leaf_hash_is_that_of_rfc_6962() {
        // The leaf hash of the empty entry, as certificate transparency implementations print it.
        let empty = LeafHash::of(b"");
        assert_eq!(
            hex::encode(empty.bytes()),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(LeafHash::parse(&empty.to_base64()), Some(empty));
        assert_eq!(LeafHash::parse(""), None);
    }
}
