//! Nothing leads out of the working directory, and nothing hangs.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

struct Scene {
    dir: tempfile::TempDir,
    place: Place,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("ws");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::create_dir_all(root.join("gateway")).unwrap();
        let place = Place { outside: vec![root.join("gateway")], root };
        let scene = Self { dir, place };
        scene.put("ws/a.txt", b"one\ntwo\nthree\n");
        scene.put("ws/gateway/config.yaml", b"secret");
        scene.put("beside.txt", b"beside");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, content: &[u8]) {
        acg_types::fs::write_private(&self.path(name), content).unwrap();
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn reads(&self, name: &str, line: Option<u32>, limit: Option<u32>) -> Result<String, String> {
        let call = FileCall::Read { path: self.text(name), line, limit };
        self.place.carry_out(&call).map(|result| result["content"].as_str().unwrap().to_owned())
    }

    fn writes(&self, name: &str, content: &str) -> Result<Value, String> {
        self.place.carry_out(&FileCall::Write { path: self.text(name), content: content.to_owned() })
    }
}

#[test]
fn lines_are_counted_from_one() {
    let scene = Scene::new();
    for (line, limit, expected) in [
        (None, None, "one\ntwo\nthree\n"),
        (Some(1), None, "one\ntwo\nthree\n"),
        (Some(0), Some(1), "one\n"),
        (Some(2), None, "two\nthree\n"),
        (Some(2), Some(1), "two\n"),
        (None, Some(0), ""),
        (Some(9), Some(9), ""),
        (Some(u32::MAX), Some(u32::MAX), ""),
    ] {
        assert_eq!(scene.reads("ws/a.txt", line, limit).unwrap(), expected, "{line:?} {limit:?}");
    }
}

#[test]
fn nothing_leads_out_of_the_working_directory() {
    let scene = Scene::new();
    symlink(scene.path("beside.txt"), scene.path("ws/out")).unwrap();
    symlink(scene.dir.path(), scene.path("ws/up")).unwrap();
    symlink(scene.path("ws/a.txt"), scene.path("ws/in")).unwrap();
    symlink(scene.path("ws/nowhere"), scene.path("ws/dangling")).unwrap();
    symlink(scene.path("ws/gateway"), scene.path("ws/g")).unwrap();
    assert_eq!(scene.reads("ws/in", None, None).unwrap(), "one\ntwo\nthree\n", "a link inside leads inside");
    for name in [
        "beside.txt",
        "ws/../beside.txt",
        "ws/sub/../../beside.txt",
        "ws/out",
        "ws/up/beside.txt",
        "ws/gateway/config.yaml",
        "ws/g/config.yaml",
        "ws",
        "ws/sub",
        "ws/sub/missing/x",
    ] {
        assert!(scene.reads(name, None, None).is_err(), "{name}");
        assert!(scene.writes(name, "evil").is_err(), "{name}");
    }
    assert!(scene.writes("ws/dangling", "x").is_err());
    assert!(
        scene.place.carry_out(&FileCall::Read { path: "a.txt".into(), line: None, limit: None }).is_err()
    );
    assert_eq!(std::fs::read_to_string(scene.path("beside.txt")).unwrap(), "beside");
    assert_eq!(std::fs::read_to_string(scene.path("ws/gateway/config.yaml")).unwrap(), "secret");
}

#[test]
fn a_file_is_written_whole_and_keeps_its_mode() {
    let scene = Scene::new();
    std::fs::set_permissions(scene.path("ws/a.txt"), std::fs::Permissions::from_mode(0o700)).unwrap();
    scene.writes("ws/a.txt", "new").unwrap();
    scene.writes("ws/sub/b.txt", "b").unwrap();
    assert_eq!(scene.reads("ws/a.txt", None, None).unwrap(), "new");
    assert_eq!(scene.reads("ws/sub/b.txt", None, None).unwrap(), "b");
    let mode = std::fs::metadata(scene.path("ws/a.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let left: Vec<_> =
        std::fs::read_dir(scene.path("ws")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().starts_with(".acg-")), "{left:?}");
}

#[test]
fn what_is_no_text_is_not_read_and_nothing_hangs() {
    let scene = Scene::new();
    scene.put("ws/binary", &[0xff, 0xfe, 0x00]);
    scene.put("ws/large", &vec![b'x'; usize::try_from(MAX_FILE).unwrap() + 1]);
    assert!(std::process::Command::new("mkfifo").arg(scene.path("ws/pipe")).status().unwrap().success());
    for name in ["ws/binary", "ws/large", "ws/pipe"] {
        assert!(scene.reads(name, None, None).is_err(), "{name}");
    }
    assert!(scene.writes("ws/pipe", "x").is_err());
    assert!(scene.writes("ws/new", &"x".repeat(usize::try_from(MAX_FILE).unwrap() + 1)).is_err());
}
