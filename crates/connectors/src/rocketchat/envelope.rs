//! What a REST answer means: success, or one of the refusals that versions 6 to 9 write.
//!
//! Pure. The code comes from `errorType`, else from a trailing `[code]`, else it is the whole `error`; since
//! 9.0 every refusal for lack of permission is 403 `error-forbidden`.

use serde_json::Value;

/// Longest text of a server that is repeated in logs and `status`.
const LONGEST_TEXT: usize = 300;

/// A refusal by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: u16,
    /// `error-not-allowed`, `totp-required`, `403`, … Empty if the server says nothing.
    pub(crate) code: String,
    /// For people; bounded, one line.
    pub(crate) text: String,
    /// `details.method`: which second factor is asked for.
    pub(crate) method: String,
}

impl Refusal {
    /// Whether the code is one of these.
    pub(crate) fn is(&self, codes: &[&str]) -> bool {
        codes.contains(&self.code.as_str())
    }
}

/// Reads an answer that is JSON; `None` in place of the value if it is not.
pub(crate) fn read(status: u16, body: Option<Value>) -> Result<Value, Refusal> {
    let Some(body) = body else { return Err(refusal(status, &Value::Null)) };
    let says_no =
        body.get("success") == Some(&Value::Bool(false)) || body.get("status") == Some(&"error".into());
    if (200..300).contains(&status) && !says_no && body.is_object() {
        Ok(body)
    } else {
        Err(refusal(status, &body))
    }
}

fn refusal(status: u16, body: &Value) -> Refusal {
    let error = body.get("error").map(as_text).unwrap_or_default();
    let message = body.get("message").map(as_text).unwrap_or_default();
    let kind = body.get("errorType").map(as_text).unwrap_or_default();
    let code = if kind.is_empty() { bracketed(&error).unwrap_or(&error).to_owned() } else { kind };
    let text = [&message, &error, &code].into_iter().find(|text| !text.is_empty()).cloned();
    Refusal {
        status,
        code: one_line(&code),
        text: text.map_or_else(|| format!("HTTP status {status}"), |text| one_line(&text)),
        method: body
            .get("details")
            .and_then(|details| details.get("method"))
            .map(as_text)
            .unwrap_or_default(),
    }
}

/// The text of a string or a number; the code of a DDP error may be either.
pub(crate) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// `code` of `Text [code]`.
fn bracketed(text: &str) -> Option<&str> {
    let inner = text.trim_end().strip_suffix(']')?;
    let (_, code) = inner.rsplit_once('[')?;
    (!code.is_empty()).then_some(code)
}

/// Makes a server's words fit for one line of log.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn successes_of_both_forms() {
        for body in
            [json!({"success": true, "x": 1}), json!({"status": "success", "data": {}}), json!({"_id": "me"})]
        {
            assert_eq!(read(200, Some(body.clone())), Ok(body));
        }
    }

    #[test]
    fn every_shape_of_refusal_gives_a_code_and_a_text() {
        // Recorded from 6.5.3, but the last three: 7.x and 9.0.
        for (status, body, code, text) in [
            (
                400,
                json!({"success":false,"error":"[invalid-channel]","errorType":"invalid-channel"}),
                "invalid-channel",
                "[invalid-channel]",
            ),
            (
                400,
                json!({"success":false,"error":"error-not-allowed"}),
                "error-not-allowed",
                "error-not-allowed",
            ),
            (400, json!({"success":false}), "", "HTTP status 400"),
            (
                400,
                json!({"success":false,"error":"Cannot read property 'starred' of undefined"}),
                "Cannot read property 'starred' of undefined",
                "Cannot read property 'starred' of undefined",
            ),
            (
                401,
                json!({"status":"error","message":"You must be logged in to do this."}),
                "",
                "You must be logged in to do this.",
            ),
            (
                401,
                json!({"status":"error","error":403,"message":"Incorrect password"}),
                "403",
                "Incorrect password",
            ),
            (
                401,
                json!({"status":"error","error":"totp-required","details":{"method":"email"},"message":"TOTP Required"}),
                "totp-required",
                "TOTP Required",
            ),
            (
                403,
                json!({"success":false,"error":"User does not have the permissions required for this action [error-unauthorized]"}),
                "error-unauthorized",
                "User does not have the permissions required for this action [error-unauthorized]",
            ),
            (
                429,
                json!({"success":false,"error":"Error, too many requests. Please slow down. You must wait 45 seconds before trying this endpoint again. [error-too-many-requests]"}),
                "error-too-many-requests",
                "Error, too many requests. Please slow down. You must wait 45 seconds before trying this endpoint again. [error-too-many-requests]",
            ),
            (200, json!({"success":false,"error":"odd"}), "odd", "odd"),
            (
                401,
                json!({"status":"error","success":false,"error":"You must be logged in to do this.","message":"You must be logged in to do this."}),
                "You must be logged in to do this.",
                "You must be logged in to do this.",
            ),
            (
                403,
                json!({"success":false,"error":"Not allowed","errorType":"error-forbidden"}),
                "error-forbidden",
                "Not allowed",
            ),
            (
                400,
                json!({"success":false,"errorType":"invalid-params","error":"must have required property 'rid'"}),
                "invalid-params",
                "must have required property 'rid'",
            ),
        ] {
            let refusal = read(status, Some(body.clone())).unwrap_err();
            assert_eq!(
                (refusal.status, refusal.code.as_str(), refusal.text.as_str()),
                (status, code, text),
                "{body}"
            );
        }
        assert_eq!(read(405, None).unwrap_err().text, "HTTP status 405");
        assert_eq!(read(200, Some(json!([]))).unwrap_err().status, 200);
    }

    #[test]
    fn a_servers_words_stay_on_one_line() {
        let refusal =
            read(400, Some(json!({"error": format!("a\nb\u{1b}[31m{}", "x".repeat(1000))}))).unwrap_err();
        assert_eq!(refusal.text.chars().count(), LONGEST_TEXT);
        assert!(!refusal.text.chars().any(char::is_control));
    }
}
