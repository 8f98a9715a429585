//! `config import-openclaw`: somebody else's file in, a configuration that we start with out.

use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;

use crate::harness::{PASSWORD, TestHome};

fn with_file(home: &TestHome) -> String {
    home.write(
        "clawdbot.json",
        &format!(
            "{{\n  // my bot\n  rocketchat: {{ enabled: true, serverUrl: 'https://chat.example.com', username: 'me',\n    password: '{PASSWORD}', allowFrom: ['GENERAL', '*'], mystery: 'x', }},\n  telegram: {{}},\n}}\n"
        ),
    );
    home.root().join("clawdbot.json").display().to_string()
}

#[test]
fn the_configuration_goes_to_a_private_file_and_is_valid() {
    let home = TestHome::new();
    let file = with_file(&home);
    let target = home.root().join("config.yaml").display().to_string();
    let done = home.run(&["config", "import-openclaw", &file, "--output", &target]);
    assert_snapshot!(done.text());
    assert!(!done.text().contains(PASSWORD));
    let mode = std::fs::metadata(&target).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        home.run(&["config", "validate", "--strict"]).good(),
        "✓ [root]/config.yaml: valid — 2 watcher(s)\n"
    );

    // A file that is there stays, unless told otherwise.
    home.write("config.yaml", "mine\n");
    let refused = home.run(&["config", "import-openclaw", &file, "--output", &target]);
    assert_snapshot!(refused.text());
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "mine\n");
    let forced = home.run(&["config", "import-openclaw", &file, "--output", &target, "--force", "--json"]);
    assert_eq!((forced.code, &forced.json()["ok"]), (0, &true.into()), "{}", forced.text());
    assert!(std::fs::read_to_string(&target).unwrap().contains(PASSWORD));
}

#[test]
fn without_a_file_it_goes_to_stdout_alone() {
    let home = TestHome::new();
    let file = with_file(&home);
    let done = home.run(&["config", "import-openclaw", &file]);
    assert_eq!(done.code, 0, "{}", done.text());
    assert!(
        done.stdout.starts_with("# Made by") && done.stdout.ends_with("room: \"GENERAL\"\n"),
        "{}",
        done.stdout
    );
    assert!(!done.stderr.contains(PASSWORD) && done.stderr.contains("holds secrets"), "{}", done.stderr);
    let here = home.root().display().to_string();
    home.write("config.yaml", &done.stdout.replace("[root]", &here));
    home.run(&["config", "validate", "--strict"]).good();
}

#[test]
fn a_file_that_gives_no_valid_configuration_gives_none() {
    let home = TestHome::new();
    let target = home.root().join("config.yaml");
    let missing =
        home.run(&["config", "import-openclaw", "missing.json", "--output", target.to_str().unwrap()]);
    home.write(
        "clawdbot.json",
        "{rocketchat: {serverUrl: 'chat.example.com', username: 'me', password: 'p'}}",
    );
    let invalid =
        home.run(&["config", "import-openclaw", "clawdbot.json", "--output", target.to_str().unwrap()]);
    assert_snapshot!(format!("{}\n{}", missing.text(), invalid.text()));
    assert!(!target.exists());
}
