//! What a refused log-in means, in words that say what to do; and the credential that is kept.
//!
//! Pure.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::envelope::Refusal;

/// A log-in with a password.
#[derive(Clone)]
pub(crate) struct Password {
    pub(crate) username: String,
    pub(crate) secret: secrecy::SecretString,
    /// Decoded TOTP secret.
    pub(crate) totp: Option<secrecy::SecretSlice<u8>>,
}

/// The token that is kept between runs. Only for the account it was made for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) url: String,
    pub(crate) username: String,
    pub(crate) user_id: String,
    pub(crate) token: String,
    /// Epoch milliseconds; the DDP log-in tells it.
    #[serde(default)]
    pub(crate) expires: Option<i64>,
}

impl Kept {
    /// Reads what was kept, if it is for this server and account.
    pub(crate) fn read(text: &str, url: &str, username: &str) -> Option<Self> {
        let kept: Self = serde_json::from_str(text).ok()?;
        (kept.url == url && kept.username == username && !kept.token.is_empty()).then_some(kept)
    }

    pub(crate) fn write(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The body of `POST login`. The password goes as its SHA-256, so that no proxy's log has it.
pub(crate) fn body(username: &str, password: &str, code: Option<&str>) -> Value {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(password.as_bytes()));
    let mut body = json!({"user": username, "password": {"digest": digest, "algorithm": "sha-256"}});
    if let (Some(code), Some(map)) = (code, body.as_object_mut()) {
        map.insert("code".to_owned(), code.into());
    }
    body
}

/// Why `POST login` was refused, and what to do.
pub(crate) fn explain(refusal: &Refusal, username: &str, sent_code: bool) -> String {
    match refusal.code.as_str() {
        "totp-required" if refusal.method == "email" => format!(
            "Rocket.Chat wants a code sent by e-mail to log in {username}, which a gateway cannot read. \
             Switch off e-mail two-factor authentication for this account, or set server.token and \
             server.user_id to a personal access token."
        ),
        "totp-required" if !sent_code => format!(
            "Rocket.Chat wants a two-factor code to log in {username}. Set server.totp_secret to the account's \
             TOTP secret, or server.token and server.user_id to a personal access token."
        ),
        "totp-required" | "totp-invalid" => {
            format!("Rocket.Chat refuses the two-factor code for {username}. Check server.totp_secret.")
        }
        "totp-max-attempts" => format!(
            "Rocket.Chat has closed two-factor log-in of {username} after too many wrong codes. Wait, check \
             server.totp_secret, then restart this connector."
        ),
        "403" | "Unauthorized" | "" => format!(
            "Rocket.Chat refuses the password of {username} ({}). Correct server.username and server.password.",
            refusal.text
        ),
        _ => format!("Rocket.Chat refuses to log in {username}: {}.", refusal.text.trim_end_matches('.')),
    }
}

/// Why a token is not taken, and what to do.
pub(crate) fn explain_dead_token(personal: bool, expired: bool) -> &'static str {
    match (personal, expired) {
        (true, _) => {
            "Rocket.Chat refuses the personal access token: it was revoked, or belongs to another account than \
             server.user_id. Make a new one and set server.token and server.user_id."
        }
        (false, true) => "The kept log-in token has expired.",
        (false, false) => "The kept log-in token was revoked.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: Value) -> Refusal {
        super::super::envelope::read(401, Some(body)).unwrap_err()
    }

    #[test]
    fn the_digest_is_the_recorded_one() {
        let body = body("bot", "wrong", None);
        assert_eq!(body["password"]["algorithm"], "sha-256");
        assert_eq!(
            body["password"]["digest"],
            "8810ad581e59f2bc3928b261707a71308f7e139eb04820366dc4d5c18d980225"
        );
        assert_eq!(super::body("bot", "x", Some("123456"))["code"], "123456");
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let cases = [
            (
                json!({"status":"error","error":403,"message":"Incorrect password"}),
                false,
                "refuses the password of bot (Incorrect password)",
            ),
            (json!({"status":"error","error":403,"message":"User not found"}), false, "server.username"),
            (
                json!({"status":"error","error":"Unauthorized","message":"Unauthorized"}),
                false,
                "refuses the password",
            ),
            (
                json!({"status":"error","error":"totp-required","details":{"method":"email"}}),
                false,
                "e-mail two-factor",
            ),
            (
                json!({"status":"error","error":"totp-required","details":{"method":"totp"}}),
                false,
                "Set server.totp_secret",
            ),
            (
                json!({"status":"error","error":"totp-invalid","details":{"method":"totp"}}),
                true,
                "Check server.totp_secret",
            ),
            (json!({"status":"error","error":"totp-max-attempts"}), true, "too many wrong codes"),
            (
                json!({"status":"error","error":"error-user-deactivated","message":"User has been deactivated"}),
                false,
                "User has been deactivated",
            ),
        ];
        for (body, sent, expected) in cases {
            let text = explain(&refused(body.clone()), "bot", sent);
            assert!(text.contains(expected), "{body}: {text}");
        }
    }

    #[test]
    fn a_kept_token_serves_only_its_own_account() {
        let kept = Kept {
            url: "http://a".into(),
            username: "bot".into(),
            user_id: "u".into(),
            token: "t".into(),
            expires: None,
        };
        assert!(Kept::read(&kept.write(), "http://a", "bot").is_some_and(|read| read == kept));
        assert!(Kept::read(&kept.write(), "http://b", "bot").is_none());
        assert!(Kept::read(&kept.write(), "http://a", "bob").is_none());
        assert!(Kept::read("{}", "http://a", "bot").is_none());
        assert!(Kept::read("garbage", "http://a", "bot").is_none());
    }
}
