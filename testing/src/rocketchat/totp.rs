//! Six-digit time codes (RFC 6238, SHA-1, 30 s), the kind an authenticator app shows.

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The code of `secret` (base 32) at `at_ms`, epoch milliseconds. An unreadable secret gives an empty code.
pub fn totp_code(secret: &str, at_ms: i64) -> String {
    let Ok(key) = BASE32_NOPAD.decode(secret.trim_end_matches('=').to_ascii_uppercase().as_bytes()) else {
        return String::new();
    };
    let step = u64::try_from(at_ms / 30_000).unwrap_or_default();
    let mut mac = Hmac::<Sha1>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = usize::from(hash[19] & 0x0f);
    let word = u32::from_be_bytes([hash[at] & 0x7f, hash[at + 1], hash[at + 2], hash[at + 3]]);
    format!("{:06}", word % 1_000_000)
}

/// True if `code` is right now, or was one step ago or will be in the next step.
pub(crate) fn totp_matches(secret: &str, code: &str, at_ms: i64) -> bool {
    [-30_000, 0, 30_000].iter().any(|shift| totp_code(secret, at_ms + shift) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_that_of_the_rfc() {
        // RFC 6238 appendix B, SHA-1, cut to six digits.
        let secret = BASE32_NOPAD.encode(b"12345678901234567890");
        assert_eq!(totp_code(&secret, 59_000), "287082");
        assert_eq!(totp_code(&secret, 1_111_111_109_000), "081804");
        assert!(!totp_matches(&secret, "000000", 59_000));
    }
}
