//! Time-based one-time passwords (RFC 6238: SHA-1, 30 s, six digits), for accounts with a TOTP secret.

use acg_types::Timestamp;
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

const STEP_MS: i64 = 30_000;

/// Decodes a secret as authenticator apps show it: base32, in either case, with blanks and padding.
pub(crate) fn decode_secret(text: &str) -> Option<Vec<u8>> {
    let clean: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '=' | '-'))
        .map(|c| c.to_ascii_uppercase())
        .collect();
    BASE32_NOPAD.decode(clean.as_bytes()).ok().filter(|secret| !secret.is_empty())
}

/// The code at a moment. The moment should be the server's, as its clock decides.
pub(crate) fn code(secret: &[u8], at: Timestamp) -> String {
    let counter = u64::try_from(at.0.max(0) / STEP_MS).unwrap_or(0);
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else { return String::new() };
    mac.update(&counter.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let offset = usize::from(digest.last().copied().unwrap_or(0) & 0x0f);
    let word = digest.iter().skip(offset).take(4).fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_6238() {
        // Appendix B has eight digits; six are their last six.
        let secret = b"12345678901234567890";
        for (seconds, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(secret, Timestamp(seconds * 1000)), expected, "{seconds}");
        }
    }

    #[test]
    fn secrets_are_read_as_apps_show_them() {
        let expected = b"12345678901234567890".to_vec();
        assert_eq!(decode_secret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), Some(expected.clone()));
        assert_eq!(decode_secret("gezd gnbv gy3t qojq gezd gnbv gy3t qojq"), Some(expected));
        assert_eq!(decode_secret("not base32!"), None);
        assert_eq!(decode_secret(""), None);
    }
}
