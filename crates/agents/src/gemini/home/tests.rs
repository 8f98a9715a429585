//! What is taken over from the user and what is not, and that every start finds the folder as it has to be.

use std::sync::Arc;

use acg_types::{ConversationId, Role};

use super::*;

fn spec(role: Role, inherit: bool) -> SessionSpec {
    SessionSpec {
        session: None,
        resume: false,
        role,
        allowed_tools: Vec::new(),
        policy: Arc::default(),
        inherit,
        confined: false,
        conversation: ConversationId(7),
        title: None,
        context: Some("you are in #general".into()),
        watcher: "w".into(),
    }
}

fn user(files: &[(&str, &str)]) -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let user = dir.path().join(".gemini");
    create_private_dir(&user).unwrap();
    for (name, text) in files {
        write_private(&user.join(name), text.as_bytes()).unwrap();
    }
    let home = Home::of(user, &"gemini".into());
    (dir, home)
}

#[test]
fn the_users_choices_are_read_with_comments_and_nothing_else_is_taken_over() {
    let (_dir, home) = user(&[
        (
            "settings.json",
            "{ // mine\n \"security\": {\"auth\": {\"selectedType\": \"gemini-api-key\"}}, /* \"x\" */\n \
             \"model\": {\"name\": \"m // no comment\"}, \"hooks\": {\"BeforeTool\": []}, \"mcpServers\": {\"x\": {}}}",
        ),
        (".env", "# my key\nexport GEMINI_API_KEY=\"k=1\"\nGEMINI_SANDBOX=docker\nNODE_OPTIONS=x\nPATH=/x\n"),
    ]);
    let chosen = home.chosen().unwrap();
    assert_eq!(chosen.keys, [("GEMINI_API_KEY".to_owned(), "k=1".to_owned())].into());
    let settings = settings(&chosen, "gemini-api-key", false, 3);
    assert_eq!(settings["model"]["name"], "m // no comment");
    assert!(settings.get("hooks").is_none() && settings.get("mcpServers").is_none(), "{settings}");
    assert_eq!(settings["security"]["folderTrust"]["enabled"], true);
    assert_eq!(home.log_in(&chosen, |_| false).as_deref(), Some("gemini-api-key"));

    let (_dir, home) = user(&[("settings.json", "{broken")]);
    assert!(home.chosen().unwrap_err().contains("settings.json"));
}

/// A program that wants a code asks for it, and waits for ever.
#[test]
fn a_log_in_has_to_be_there() {
    let (_dir, home) = user(&[]);
    let chosen = home.chosen().unwrap();
    let with = |name: &'static str| home.log_in(&chosen, move |asked| asked == name);
    assert_eq!(with(""), None);
    assert_eq!(with("GEMINI_API_KEY").as_deref(), Some("gemini-api-key"));
    assert_eq!(with("GOOGLE_GENAI_USE_VERTEXAI").as_deref(), Some("vertex-ai"));
    assert_eq!(with("GOOGLE_GENAI_USE_GCA"), None, "without a token");
    let (_dir, home) = user(&[("oauth_creds.json", "{}")]);
    let chosen = Chosen { log_in: Some("oauth-personal".into()), ..Chosen::default() };
    assert_eq!(home.log_in(&chosen, |_| false).as_deref(), Some("oauth-personal"));
}

#[test]
fn what_others_left_is_removed_and_each_role_has_its_own() {
    let (_dir, home) = user(&[("GEMINI.md", "be kind"), ("oauth_creds.json", "old")]);
    let chosen = Chosen::default();
    let prepare = |spec: &SessionSpec| home.prepare(spec, &chosen, ("x", false, 3), "# policy").unwrap();
    let (owner, guest) = (spec(Role::owner(), true), spec(Role::guest(), false));
    let prepared = prepare(&owner);
    let own = prepared.home.join(".gemini");
    for left in FOREIGN {
        create_private_dir(&prepared.home.join(left)).unwrap();
    }
    write_private(&own.join("settings.json"), b"{\"hooks\":{}}").unwrap();
    prepare(&owner);
    for left in FOREIGN {
        assert!(!prepared.home.join(left).exists(), "{left}");
    }
    assert!(!fs::read_to_string(own.join("settings.json")).unwrap().contains("hooks\":"));
    assert_eq!(fs::read_to_string(own.join("GEMINI.md")).unwrap(), "be kind\n\nyou are in #general");
    assert_eq!(fs::read_to_string(own.join("oauth_creds.json")).unwrap(), "old");
    assert_eq!(home.log_ins().len(), 1);

    let theirs = prepare(&guest);
    assert_ne!((&theirs.home, &theirs.policy), (&prepared.home, &prepared.policy));
    let memory = fs::read_to_string(theirs.home.join(".gemini/GEMINI.md")).unwrap();
    assert_eq!(memory, "you are in #general", "a guest has nothing of the user's");
    assert!(!theirs.policy.starts_with(&theirs.home));
    assert_eq!(file_name("../x"), "=2e2e2f78");
}
