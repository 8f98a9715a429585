//! One TLS configuration for HTTP and WebSocket: rustls on ring, trusting what the operating system trusts.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;

/// TLS cannot be set up on this host.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up on this host: {0}")]
pub(crate) struct TlsError(#[from] rustls::Error);

/// The configuration for a server. Without TLS (`http://`) no certificate is loaded: that takes longer than
/// everything else at start.
pub(crate) fn config(secure: bool) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = if secure {
        builder.with_platform_verifier()?.with_no_client_auth()
    } else {
        builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
    };
    Ok(Arc::new(config))
}
