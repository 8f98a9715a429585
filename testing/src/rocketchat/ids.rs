//! Makes ids of the two shapes the server uses, and tokens.
//!
//! The generator is seeded, so one world gives the same ids every time; it must never be used for a real secret.

/// Letters and digits that Meteor takes for its random ids.
const UNMISTAKABLE: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz";
const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A seeded source of ids (SplitMix64).
#[derive(Debug)]
pub(crate) struct Ids {
    state: u64,
}

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn pick(&mut self, alphabet: &[u8], len: usize) -> String {
        (0..len)
            .map(|_| {
                let at = usize::try_from(self.next() % alphabet.len() as u64).unwrap_or_default();
                char::from(alphabet[at])
            })
            .collect()
    }

    /// 17 base-62 letters: users, messages, sessions.
    pub(crate) fn short(&mut self) -> String {
        self.pick(UNMISTAKABLE, 17)
    }

    /// 24 hex digits: rooms, subscriptions, system messages, files.
    pub(crate) fn hex(&mut self) -> String {
        self.pick(b"0123456789abcdef", 24)
    }

    /// 43 letters: login tokens and personal access tokens.
    pub(crate) fn token(&mut self) -> String {
        self.pick(BASE64URL, 43)
    }

    /// 32 base-32 letters: a TOTP secret.
    pub(crate) fn base32(&mut self) -> String {
        self.pick(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_servers_shapes_and_differ() {
        let mut ids = Ids::new(1);
        assert_eq!((ids.short().len(), ids.hex().len(), ids.token().len()), (17, 24, 43));
        assert_ne!(ids.short(), ids.short());
    }
}
