//! The account that is logged in: which token is valid now, and how to get another one.
//!
//! Owns log-in and its renewal. A dead token is renewed once for all callers at the same time; a refused
//! password is not tried again for [`REFUSED_FOR`], so that no loop of ours locks the account.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use acg_core::connector::Intake;
use acg_types::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tracing::{info, warn};

use super::login::{self, Kept, Password};
use super::rest::{Call, ReadList, Rest, RestError, Token};
use super::totp;

/// How long a refused password or token is left alone.
pub(crate) const REFUSED_FOR: Duration = Duration::from_mins(15);
/// A token that dies sooner after a log-in than this is not replaced at once.
const SHORTEST_LIFE: Duration = Duration::from_secs(30);

/// What the configuration gives to log in with; one of the two at least.
#[derive(Clone)]
pub(crate) struct Credentials {
    /// Personal access token.
    pub(crate) personal: Option<Token>,
    pub(crate) password: Option<Password>,
}

/// A log-in that works, as far as known.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) token: Token,
    /// Rises with every change, so that a caller can tell which token failed.
    generation: u64,
    personal: bool,
    expires: Option<i64>,
}

/// Why there is no log-in.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// Only a person can mend it.
    #[error("{0}")]
    Refused(String),
    /// It may work later.
    #[error("{reason}")]
    Later { reason: String, after: Option<Duration> },
}

#[derive(Default)]
struct State {
    login: Option<Login>,
    generation: u64,
    personal_is_dead: bool,
    kept_is_read: bool,
    refused: Option<(String, Instant)>,
    last_password_login: Option<Instant>,
}

/// Log-in and everything that needs it.
pub(crate) struct Account {
    pub(crate) rest: Rest,
    credentials: Credentials,
    state: Mutex<State>,
    /// Held while logging in.
    renewing: tokio::sync::Mutex<()>,
    /// Where the token is kept; set by `run`.
    keeper: Mutex<Option<Arc<dyn Intake>>>,
    connector: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("server", &self.rest.base()).finish_non_exhaustive()
    }
}

impl Account {
    pub(crate) fn new(rest: Rest, credentials: Credentials, connector: &str) -> Self {
        Self {
            rest,
            credentials,
            state: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
            keeper: Mutex::default(),
            connector: connector.to_owned(),
        }
    }

    /// From now on tokens are kept there.
    pub(crate) fn keep_with(&self, intake: Option<Arc<dyn Intake>>) {
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = intake;
    }

    /// The log-in to use; makes one if there is none.
    pub(crate) async fn login(&self) -> Result<Login, LoginError> {
        if let Some(login) = self.state().login.clone() {
            return Ok(login);
        }
        let _one_at_a_time = self.renewing.lock().await;
        let ready = self.state().login.clone();
        match ready {
            Some(login) => Ok(login),
            None => self.obtain().await,
        }
    }

    /// The log-in after `dead` was refused. Callers that come with the same dead one get the same new one.
    pub(crate) async fn renew(&self, dead: &Login) -> Result<Login, LoginError> {
        let _one_at_a_time = self.renewing.lock().await;
        let now = self.rest.server_now();
        {
            let mut state = self.state();
            match &state.login {
                Some(login) if login.generation != dead.generation => return Ok(login.clone()),
                Some(_) => {
                    state.login = None;
                    state.personal_is_dead |= dead.personal;
                    let expired = dead.expires.is_some_and(|at| at <= now.0);
                    warn!(connector = %self.connector, "{}", login::explain_dead_token(dead.personal, expired));
                }
                None => {}
            }
        }
        if !dead.personal {
            self.keep(None).await;
        }
        self.obtain().await
    }

    /// Notes when the token expires, as the DDP log-in tells.
    pub(crate) async fn expires(&self, login: &Login, at: Option<Timestamp>) {
        let changed = {
            let mut state = self.state();
            match &mut state.login {
                Some(current) if current.generation == login.generation && !current.personal => {
                    let at = at.map(|at| at.0);
                    let changed = current.expires != at;
                    current.expires = at;
                    changed.then(|| current.clone())
                }
                _ => None,
            }
        };
        if let (Some(login), Some(password)) = (changed, &self.credentials.password) {
            self.keep(Some(&self.kept(&login, &password.username))).await;
        }
    }

    /// A call as the account; a dead token is renewed and the call made once more.
    pub(crate) async fn call(&self, call: &Call) -> Result<Value, RestError> {
        let login = self.login().await.map_err(rest_error)?;
        match self.rest.call(call, Some(&login.token)).await {
            Err(RestError::Unauthorized(_)) => {
                let login = self.renew(&login).await.map_err(rest_error)?;
                self.rest.call(call, Some(&login.token)).await
            }
            other => other,
        }
    }

    /// A call whose answer is a long list.
    pub(crate) async fn list<T>(&self, call: &Call, read: ReadList<T>) -> Result<T, RestError> {
        let login = self.login().await.map_err(rest_error)?;
        match self.rest.list(call, Some(&login.token), read).await {
            Err(RestError::Unauthorized(_)) => {
                let login = self.renew(&login).await.map_err(rest_error)?;
                self.rest.list(call, Some(&login.token), read).await
            }
            other => other,
        }
    }

    async fn obtain(&self) -> Result<Login, LoginError> {
        let (personal_is_dead, kept_is_read) = {
            let state = self.state();
            if let Some((reason, since)) = &state.refused
                && since.elapsed() < REFUSED_FOR
            {
                return Err(LoginError::Refused(reason.clone()));
            }
            (state.personal_is_dead, state.kept_is_read)
        };
        if let (Some(token), false) = (&self.credentials.personal, personal_is_dead) {
            return Ok(self.install(token.clone(), true, None));
        }
        let Some(password) = &self.credentials.password else {
            // A token can be confirmed again by its owner, so it is tried again after a while.
            self.state().personal_is_dead = false;
            return Err(self.refuse(login::explain_dead_token(true, false).to_owned()));
        };
        if !kept_is_read {
            if let Some(kept) = self.load(&password.username).await? {
                self.state().kept_is_read = true;
                let token = Token { user: kept.user_id, secret: kept.token };
                return Ok(self.install(token, false, kept.expires));
            }
            // Whoever sends before `run` has nowhere to read it from yet.
            self.state().kept_is_read = self.keeper().is_some();
        }
        self.log_in(password).await
    }

    async fn log_in(&self, password: &Password) -> Result<Login, LoginError> {
        let last = self.state().last_password_login;
        if let Some(left) = last.and_then(|last| SHORTEST_LIFE.checked_sub(last.elapsed())) {
            let reason =
                "The token of the last log-in was refused at once; waiting before the next.".to_owned();
            return Err(LoginError::Later { reason, after: Some(left) });
        }
        let code =
            password.totp.as_ref().map(|secret| totp::code(secret.expose_secret(), self.rest.server_now()));
        let body = login::body(&password.username, password.secret.expose_secret(), code.as_deref());
        let answer = match self.rest.call(&Call::post("login", body).impatient(), None).await {
            Ok(answer) => answer,
            Err(RestError::Unauthorized(refusal) | RestError::Refused(refusal)) => {
                return Err(self.refuse(login::explain(&refusal, &password.username, code.is_some())));
            }
            Err(RestError::Limited(after)) => {
                let reason = "Rocket.Chat allows no more log-ins from this address for a while.".to_owned();
                return Err(LoginError::Later { reason, after: Some(after) });
            }
            Err(error) => return Err(LoginError::Later { reason: error.to_string(), after: None }),
        };
        let text = |key| answer.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
        let (Some(user), Some(secret)) = (text("userId"), text("authToken")) else {
            let reason = "The answer to the log-in holds no token; check server.url.".to_owned();
            return Err(LoginError::Later { reason, after: None });
        };
        let token = Token { user: user.to_owned(), secret: secret.to_owned() };
        let login = self.install(token, false, None);
        self.state().last_password_login = Some(Instant::now());
        self.keep(Some(&self.kept(&login, &password.username))).await;
        info!(connector = %self.connector, "Rocket.Chat: logged in by password");
        Ok(login)
    }

    fn install(&self, token: Token, personal: bool, expires: Option<i64>) -> Login {
        let mut state = self.state();
        state.generation += 1;
        state.refused = None;
        let login = Login { token, generation: state.generation, personal, expires };
        state.login = Some(login.clone());
        login
    }

    fn refuse(&self, reason: String) -> LoginError {
        self.state().refused = Some((reason.clone(), Instant::now()));
        LoginError::Refused(reason)
    }

    fn kept(&self, login: &Login, username: &str) -> Kept {
        Kept {
            url: self.rest.base().to_owned(),
            username: username.to_owned(),
            user_id: login.token.user.clone(),
            token: login.token.secret.clone(),
            expires: login.expires,
        }
    }

    async fn load(&self, username: &str) -> Result<Option<Kept>, LoginError> {
        let Some(keeper) = self.keeper() else { return Ok(None) };
        match keeper.load_credential().await {
            Ok(text) => Ok(text.and_then(|text| Kept::read(&text, self.rest.base(), username))),
            Err(error) => {
                let reason = format!("The kept log-in token could not be read: {error}.");
                Err(LoginError::Later { reason, after: None })
            }
        }
    }

    async fn keep(&self, kept: Option<&Kept>) {
        let Some(keeper) = self.keeper() else { return };
        let text = kept.map(Kept::write);
        if let Err(error) = keeper.save_credential(text.as_deref()).await {
            warn!(connector = %self.connector, %error, "The log-in token could not be kept; the next start logs in anew");
        }
    }

    /// The core, while the connector runs.
    pub(crate) fn keeper(&self) -> Option<Arc<dyn Intake>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rest_error(error: LoginError) -> RestError {
    match error {
        LoginError::Refused(reason) => RestError::NoLogin(reason),
        LoginError::Later { after: Some(after), .. } => RestError::Limited(after),
        LoginError::Later { reason, after: None } => RestError::Unreachable(reason),
    }
}
