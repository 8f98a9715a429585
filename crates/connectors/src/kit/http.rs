//! The HTTP client of every connector: time-outs, no redirects, no proxy, bodies read up to a cap.
//!
//! Redirects are off because the token headers must never follow one to another host.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

/// Connecting, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A whole exchange. One long unbroken word costs a Rocket.Chat server four seconds, so not less.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A body did not arrive, or is too large.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Larger than the cap.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection broke.
    #[error("the answer broke off: {0}")]
    Broken(String),
}

/// Makes a client.
pub(crate) fn client(tls: &Arc<ClientConfig>) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(ClientConfig::clone(tls))
        .user_agent(concat!("agent-chat-gateway/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .pool_max_idle_per_host(4)
        .build()
}

/// Reads a body of at most `cap` bytes.
pub(crate) async fn read_body(mut response: reqwest::Response, cap: usize) -> Result<Vec<u8>, BodyError> {
    if response.content_length().is_some_and(|length| usize::try_from(length).map_or(true, |n| n > cap)) {
        return Err(BodyError::TooLarge(cap));
    }
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| BodyError::Broken(plain(&error)))? {
        if body.len() + piece.len() > cap {
            return Err(BodyError::TooLarge(cap));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// An error's innermost cause, which is what a person can act on (`Connection refused`). Without the address:
/// it can hold a secret in its query.
pub(crate) fn plain(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = None;
    while let Some(inner) = cause {
        text = Some(inner.to_string());
        cause = inner.source();
    }
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    text.unwrap_or_else(|| "the exchange failed".to_owned())
}
