//! Ways to log in, and ways to be refused.

use acg_core::connector::Link;
use acg_testing::rocketchat::{AddUser, FakeServer, Options};

use crate::intake::MemoryIntake;
use crate::rig::{PASSWORD, Running, Scene, rooms};

const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn logins(server: &FakeServer) -> usize {
    server.record().calls("login").len()
}

#[tokio::test]
async fn by_password_once_then_by_the_kept_token() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    let health = running.until_link(Link::Connected).await;
    assert_eq!((health.account.as_deref(), health.server_version.as_deref()), (Some("bot"), Some("6.5")));
    assert_eq!(health.version_note, None);
    running.stop().await;
    assert_eq!(logins(&scene.server), 1);
    assert!(intake.state().credential.is_some());
    // A new program: the token is taken from where it was kept.
    let running = Running::ready_again(&scene.by_password(), &intake).await;
    running.stop().await;
    assert_eq!(logins(&scene.server), 1);
}

#[tokio::test]
async fn by_personal_access_token() {
    let scene = Scene::new().await;
    let token = scene.server.world().personal_token(&scene.bot, "gw");
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_token(&token), &intake).await;
    scene.say("@bot hello");
    running.until_texts(&["hello"]).await;
    assert_eq!(logins(&scene.server), 0);
    assert_eq!(intake.state().credential, None);
    // Revoked while connected: nothing is hammered, and the reason says what to do.
    scene.server.world().revoke_token(&token);
    let health = running.until_link(Link::Refused).await;
    assert!(health.reason.as_deref().unwrap_or_default().contains("personal access token"), "{health:?}");
    let calls = scene.server.record().rest.len();
    running.stop().await;
    assert_eq!(scene.server.record().rest.len(), calls);
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let settings = scene.by_password().replace(PASSWORD, "wrong");
    let running = Running::start(&settings, &intake);
    let health = running.until_link(Link::Refused).await;
    let reason = health.reason.unwrap();
    assert!(reason.contains("Incorrect password") && reason.contains("server.password"), "{reason}");
    // Whoever sends meanwhile gets the same answer without another attempt.
    let part = crate::rig::part(&scene.general, "k1", "hello", 0);
    let error = running.connector.send(&part).await.unwrap_err();
    assert!(matches!(error, acg_core::connector::SendError::Auth { .. }), "{error:?}");
    running.stop().await;
    assert_eq!(logins(&scene.server), 1);
}

#[tokio::test]
async fn a_second_factor() {
    let bot = || AddUser { totp: Some(TOTP.to_owned()), ..AddUser::bot(PASSWORD) };
    let scene = Scene::with(Options::default(), bot()).await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::start(&scene.by_password(), &intake);
    let reason = running.until_link(Link::Refused).await.reason.unwrap();
    assert!(reason.contains("server.totp_secret"), "{reason}");
    running.stop().await;
    let settings = scene.by_password().replace("username:", &format!("totp_secret: {TOTP}, username:"));
    Running::ready(&settings, &intake).await.stop().await;

    let other = settings.replace(TOTP, "MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U");
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::start(&other, &intake);
    let reason = running.until_link(Link::Refused).await.reason.unwrap();
    assert!(reason.contains("refuses the two-factor code"), "{reason}");
    running.stop().await;
}

#[tokio::test]
async fn a_code_by_mail_is_said_to_be_impossible() {
    let bot = AddUser { email_verified: true, ..AddUser::bot(PASSWORD) };
    let scene = Scene::with(Options::default(), bot).await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::start(&scene.by_password(), &intake);
    let reason = running.until_link(Link::Refused).await.reason.unwrap();
    assert!(reason.contains("e-mail"), "{reason}");
    running.stop().await;
    assert_eq!(logins(&scene.server), 1);
}

#[tokio::test]
async fn a_dead_kept_token_costs_one_password_login() {
    let scene = Scene::new().await;
    for dead in ["revoked", "expired"] {
        let world = scene.server.world();
        let token = match dead {
            "expired" => world.expired_token(&scene.bot),
            _ => "no-such-token".to_owned(),
        };
        let before = logins(&scene.server);
        let intake = MemoryIntake::new(rooms(&["general"]));
        intake.state().credential = Some(format!(
            r#"{{"url":"{}","username":"bot","user_id":"{}","token":"{token}","expires":1000}}"#,
            scene.server.url(),
            scene.bot
        ));
        let running = Running::ready(&scene.by_password(), &intake).await;
        running.stop().await;
        assert_eq!(logins(&scene.server), before + 1, "{dead}");
        let kept = intake.state().credential.clone().unwrap();
        assert!(!kept.contains(&token), "{dead}");
    }
}

#[tokio::test]
async fn a_token_revoked_while_connected_is_replaced_by_password() {
    let scene = Scene::new().await;
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    let kept: serde_json::Value =
        serde_json::from_str(intake.state().credential.as_deref().unwrap()).unwrap();
    let token = kept["token"].as_str().unwrap().to_owned();
    // The connector waits 30 s before it replaces a token that died at once; a REST call is told so.
    scene.server.world().revoke_token(&token);
    let health = running.until_link(Link::Retrying).await;
    assert!(health.reason.is_some());
    running.stop().await;
    // After a new start the password is used: once.
    let running = Running::ready_again(&scene.by_password(), &intake).await;
    scene.say("@bot again");
    running.until_texts(&["again"]).await;
    running.stop().await;
    assert_eq!(logins(&scene.server), 2);
}
