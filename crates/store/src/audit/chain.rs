//! The hash that ties an entry of the record to the one before it.
//!
//! Owns the framing of the fields, which docs/audit.md describes for other programs. Must never change: what is
//! written has to verify for ever.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::NewAudit;

/// What the first entry has as the hash before it.
pub(crate) const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// First frame of every hash, so that it can be mistaken for no other program's, nor a later form's.
const LABEL: &str = "agent-chat-gateway audit 1";

/// SHA-256 over frames in a fixed order. A frame is its length in bytes, eight bytes with the highest first, then its
/// bytes: no two different entries give the same input.
pub(crate) fn hash(previous: &str, seq: i64, entry: &NewAudit) -> String {
    let NewAudit {
        at,
        connector,
        room,
        room_name,
        agent,
        role,
        user,
        username,
        turn,
        tool,
        digest,
        result,
        by,
        reason,
    } = entry;
    let (seq, at) = (seq.to_string(), at.0.to_string());
    // A number is never the empty text, so "none" cannot be mistaken for one.
    let turn = turn.map(|turn| turn.to_string()).unwrap_or_default();
    let frames: [&str; 17] = [
        LABEL,
        previous,
        &seq,
        &at,
        connector.as_str(),
        room.as_str(),
        room_name,
        agent.as_str(),
        role.as_str(),
        user.as_str(),
        username,
        &turn,
        tool,
        digest,
        result,
        by,
        reason,
    ];
    let mut hasher = Sha256::new();
    for frame in frames {
        hasher.update(u64::try_from(frame.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(frame.as_bytes());
    }
    HEXLOWER.encode(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use acg_types::{Role, Timestamp, TurnId};

    use super::*;

    fn entry() -> NewAudit {
        NewAudit {
            at: Timestamp(1_700_000_000_000),
            connector: "rc".into(),
            room: "GENERAL".into(),
            room_name: "general".to_owned(),
            agent: "claude".into(),
            role: Role::owner(),
            user: "u1".into(),
            username: "alice".to_owned(),
            turn: Some(TurnId(7)),
            tool: "Bash".to_owned(),
            digest: "ab".repeat(32),
            result: "approved".to_owned(),
            by: "user böb (u2)".to_owned(),
            reason: String::new(),
        }
    }

    /// Made with Python's hashlib from the description in docs/audit.md.
    #[test]
    fn another_program_gets_the_same_hashes() {
        let first = hash(START, 1, &entry());
        assert_eq!(first, "a78bee6f87efeaccad881018ea78d0dcac665a87eaf53839feecc7f6cd015a51");
        let second = NewAudit { turn: None, reason: "line\nbreak".to_owned(), ..entry() };
        assert_eq!(
            hash(&first, 2, &second),
            "b993a8d50f01f4577c7d021da2c1201e2d5b1b019dc5c8fb398b621b22f13db2"
        );
    }

    #[test]
    fn moving_a_letter_from_one_field_to_the_next_shows() {
        let moved = NewAudit { room_name: "generalc".to_owned(), agent: "laude".into(), ..entry() };
        assert_ne!(hash(START, 1, &moved), hash(START, 1, &entry()));
        let none = NewAudit { turn: None, ..entry() };
        let zero = NewAudit { turn: Some(TurnId(0)), ..entry() };
        assert_ne!(hash(START, 1, &none), hash(START, 1, &zero));
    }
}
