//! `type: rocketchat`: its keys, their parser, and the connector made from them.

use std::sync::Arc;

use acg_config::{ConnectorConfig, Key, Kind, Section, Settings, Shape};
use acg_core::connector::Connector;
use acg_types::Clock;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

use super::account::{Account, Credentials};
use super::connector::RocketChat;
use super::health::Board;
use super::login::Password;
use super::rest::{Rest, Token};
use super::shared::Shared;
use super::totp;
use crate::kit::tls;
use crate::registry::BuildError;

/// The word after `type:`.
pub const NAME: &str = "rocketchat";

const SERVER: &[Key] = &[
    Key::new("url", Shape::Text, "Address of the server, such as https://chat.example.com.")
        .required()
        .example("https://chat.example.com"),
    Key::new("username", Shape::Text, "Log-in name of the account, with password.").example("bot"),
    Key::new("password", Shape::Secret, "Password of the account. Not needed with token.")
        .example("change-me"),
    Key::new("totp_secret", Shape::Secret, "TOTP secret (base32) of an account with two-factor log-in."),
    Key::new("user_id", Shape::Text, "Id of the account, with token."),
    Key::new("token", Shape::Secret, "Personal access token, instead of a password."),
];

const KEYS: &[Key] = &[
    Key::new("server", Shape::Section(SERVER), "The Rocket.Chat server and the account.").required(),
    Key::new(
        "self_chat",
        Shape::Bool,
        "Whether the account is your own: then what you write in the direct room with yourself is for the agent, and \
         you are an owner there.",
    )
    .default("false"),
];

/// The type for `acg_config`.
#[derive(Clone, Copy, Debug)]
pub struct RocketChatKind;

/// What the type's own keys say. Never shown: it holds secrets.
struct RocketChatSettings {
    url: String,
    username: String,
    password: Option<SecretString>,
    totp: Option<SecretSlice<u8>>,
    /// User id and token.
    personal: Option<(String, SecretString)>,
    self_chat: bool,
}

impl Kind for RocketChatKind {
    fn name(&self) -> &'static str {
        NAME
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        let server = section.section("server");
        let url = server.req_str("url").and_then(|url| read_url(&server, &url));
        let username = server.str("username").unwrap_or_default().trim().trim_start_matches('@').to_owned();
        let password = server.secret("password");
        let token = server.secret("token");
        let user_id = server.str("user_id").map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        let totp = server.secret("totp_secret").and_then(|secret| {
            let decoded = totp::decode_secret(secret.expose_secret());
            if decoded.is_none() {
                let help = "copy the secret as the server shows it when two-factor log-in is switched on";
                server.error("totp_secret", "'totp_secret' must be base32 text.", Some(help));
            }
            decoded.map(SecretSlice::from)
        });
        let personal = match (user_id, token) {
            (Some(id), Some(token)) => Some((id, token)),
            (None, Some(_)) => {
                let help = "the server shows the user id together with a new personal access token";
                server.error("token", "'token' needs 'user_id' beside it.", Some(help));
                None
            }
            (Some(_), None) if password.is_none() => {
                server.error("user_id", "'user_id' needs 'token' beside it.", None);
                None
            }
            (_, None) => None,
        };
        if password.is_some() && username.is_empty() {
            server.error("username", "'username' is required with 'password'.", None);
        }
        if password.is_none() && personal.is_none() && !server.has("token") && !server.has("user_id") {
            // A secret that is named but could not be read has its own error.
            let named = server.keys().any(|key| key.starts_with("password_") || key.starts_with("token_"));
            if !named {
                let help = "set username and password, or user_id and token";
                server.error("password", "there is nothing to log in with.", Some(help));
            }
        }
        let self_chat = section.bool("self_chat").unwrap_or(false);
        let url = url?;
        let settings = RocketChatSettings { url, username, password, totp, personal, self_chat };
        Some(Settings(Arc::new(settings)))
    }
}

/// An address without path traps: scheme and host, no user information, no query.
fn read_url(server: &Section<'_>, text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('/');
    let parsed = reqwest::Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if parsed.is_none() {
        let help = "write it as https://chat.example.com, without user name or query";
        server.error("url", "'url' must be an http or https address.", Some(help));
    }
    // The scheme's case is the only thing that matters to us later.
    parsed.map(|url| url.as_str().trim_end_matches('/').to_owned())
}

/// Makes the connector. Nothing is connected before its `run`.
pub(crate) fn build(
    config: &ConnectorConfig,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn Connector>, BuildError> {
    let name = config.name.to_string();
    let settings = config.settings.as_ref().and_then(Settings::get::<RocketChatSettings>);
    let Some(settings) = settings else {
        return Err(BuildError::NotServed { name, kind: config.kind.clone() });
    };
    let setup = |reason: String| BuildError::Setup { name: name.clone(), reason };
    let tls = tls::config(settings.url.starts_with("https:")).map_err(|error| setup(error.to_string()))?;
    let rest = Rest::new(&settings.url, &tls, clock.clone()).map_err(|error| setup(error.to_string()))?;
    let credentials = Credentials {
        personal: settings
            .personal
            .as_ref()
            .map(|(user, secret)| Token { user: user.clone(), secret: secret.expose_secret().to_owned() }),
        password: settings.password.as_ref().map(|password| Password {
            username: settings.username.clone(),
            secret: password.clone(),
            totp: settings.totp.clone(),
        }),
    };
    let account = Account::new(rest, credentials, config.name.as_str());
    let board = Board::new(config.name.clone(), clock);
    let shared = Shared::new(config.name.clone(), account, board, tls, settings.self_chat);
    Ok(Arc::new(RocketChat::new(shared)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> (Option<Settings>, Vec<String>) {
        let (settings, found) = acg_config::parse_settings(&RocketChatKind, text, Path::new("/"), &|_| None);
        (settings, found.into_iter().map(|diagnostic| diagnostic.message).collect())
    }

    fn good(text: &str) -> Settings {
        let (settings, found) = parse(text);
        assert_eq!(found, Vec::<String>::new(), "{text}");
        settings.unwrap()
    }

    #[test]
    fn both_ways_to_log_in_are_read() {
        let settings = good(
            "server: {url: 'https://chat.example.test/', username: bot, password: p, totp_secret: 'gezd gnbv'}",
        );
        let settings: &RocketChatSettings = settings.get().unwrap();
        assert_eq!(settings.url, "https://chat.example.test");
        assert_eq!(settings.username, "bot");
        assert!(settings.password.is_some() && settings.totp.is_some() && settings.personal.is_none());
        let settings = good("server: {url: 'http://127.0.0.1:3000/sub', user_id: u, token: t}");
        let settings: &RocketChatSettings = settings.get().unwrap();
        assert_eq!(settings.url, "http://127.0.0.1:3000/sub");
        assert_eq!(settings.personal.as_ref().unwrap().0, "u");
    }

    #[test]
    fn what_cannot_work_is_said() {
        for (text, expected) in [
            ("{}", "'url' is required."),
            (
                "server: {url: chat.example.test, username: b, password: p}",
                "'url' must be an http or https address.",
            ),
            (
                "server: {url: 'https://u:p@host', username: b, password: p}",
                "'url' must be an http or https address.",
            ),
            ("server: {url: 'https://host'}", "there is nothing to log in with."),
            ("server: {url: 'https://host', password: p}", "'username' is required with 'password'."),
            ("server: {url: 'https://host', token: t}", "'token' needs 'user_id' beside it."),
            ("server: {url: 'https://host', user_id: u}", "'user_id' needs 'token' beside it."),
            (
                "server: {url: 'https://host', username: b, password: p, totp_secret: '1'}",
                "'totp_secret' must be base32 text.",
            ),
        ] {
            let (settings, found) = parse(text);
            assert!(settings.is_none(), "{text}");
            assert!(found.iter().any(|message| message == expected), "{text}: {found:?}");
        }
    }
}
