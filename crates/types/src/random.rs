//! Random ids from the operating system's generator.

use crate::MessageId;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The operating system's generator did not answer; nothing that needs an unguessable id may go on.
#[derive(Debug, thiserror::Error)]
#[error("the operating system's random generator failed")]
pub struct RandomError(#[source] getrandom::Error);

/// `length` random base62 characters.
pub fn base62(length: usize) -> Result<String, RandomError> {
    let mut text = String::with_capacity(length);
    let mut buffer = [0_u8; 64];
    while text.len() < length {
        getrandom::fill(&mut buffer).map_err(RandomError)?;
        // 248 is the largest multiple of 62 in a byte: what lies above would favour the first letters.
        for byte in buffer.iter().filter(|byte| **byte < 248) {
            if text.len() == length {
                break;
            }
            text.push(char::from(BASE62[usize::from(byte % 62)]));
        }
    }
    Ok(text)
}

/// A key for one outgoing part: 24 base62 characters (142 bits), of the form Rocket.Chat takes as `_id`.
pub fn message_key() -> Result<MessageId, RandomError> {
    Ok(MessageId::new(base62(24)?))
}

/// A fraction in `0.0..1.0`, for jitter. Falls back to one half: jitter is never worth an error.
pub fn fraction() -> f64 {
    let mut bytes = [0_u8; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_asked_length_and_alphabet() {
        for length in [0, 1, 24, 100] {
            let text = base62(length).unwrap();
            assert_eq!(text.len(), length);
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        assert_ne!(message_key().unwrap(), message_key().unwrap());
    }

    #[test]
    fn fractions_stay_below_one() {
        assert!((0..1000).map(|_| fraction()).all(|value| (0.0..1.0).contains(&value)));
    }
}
