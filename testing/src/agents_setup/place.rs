//! A home and a workspace that are thrown away, and a proxy that notes who tries to leave the machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::tools;

/// How long the proxy waits for what a client wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where one test's programs live. Gone when dropped; end the programs first.
#[derive(Debug)]
pub struct Place {
    /// Resolved: on macOS the temporary folder is behind a link, and programs report where it leads.
    root: PathBuf,
    proxy: String,
    attempts: Arc<Mutex<Vec<String>>>,
    _proxy: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Place {
    /// An empty home and an empty workspace.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["home", "workspace", "tmp"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        task.spawn(refuse_all(listener, Arc::clone(&attempts)));
        Self { root, proxy, attempts, _proxy: task, _dir: dir }
    }

    /// The home, with nothing in it but what [`super`]'s functions write.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The folder that the agent works in.
    pub fn workspace(&self) -> PathBuf {
        self.root.join("workspace")
    }

    /// What the programs asked the proxy for, as the first line of the request. A program that heeds no proxy is not
    /// seen here, and is stopped by [`super::wall`] only.
    pub fn attempts(&self) -> Vec<String> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The variables that are the same for all programs.
    pub fn env(&self) -> BTreeMap<String, String> {
        let home = self.home();
        let within = |folder: &str| home.join(folder).to_str().unwrap().to_owned();
        let mut env: BTreeMap<String, String> = [
            ("HOME", home.to_str().unwrap().to_owned()),
            ("XDG_CONFIG_HOME", within(".config")),
            ("XDG_DATA_HOME", within(".local/share")),
            ("XDG_STATE_HOME", within(".local/state")),
            ("XDG_CACHE_HOME", within(".cache")),
            ("TMPDIR", self.root.join("tmp").to_str().unwrap().to_owned()),
            ("PATH", path()),
            // OpenCode trusts it over the folder that it was started in.
            ("PWD", self.workspace().to_str().unwrap().to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
            ("SHELL", "/bin/sh".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            env.insert(name.to_owned(), self.proxy.clone());
            env.insert(name.to_lowercase(), self.proxy.clone());
        }
        for name in ["NO_PROXY", "no_proxy"] {
            env.insert(name.to_owned(), "127.0.0.1,localhost,::1".to_owned());
        }
        env
    }
}

/// The `PATH` of whoever runs the tests, with the Node of the tools and a ripgrep before it: `OpenCode` downloads a
/// ripgrep if it finds none.
fn path() -> String {
    let node = tools::node().and_then(|node| node.parent().map(Path::to_path_buf));
    let mut folders: Vec<PathBuf> = node.into_iter().chain(tools::ripgrep_folder()).collect();
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&inherited));
    std::env::join_paths(folders).unwrap().into_string().unwrap()
}

async fn refuse_all(listener: TcpListener, attempts: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let attempts = Arc::clone(&attempts);
                connections.spawn(async move {
                    let line = tokio::time::timeout(PATIENCE, refuse(stream)).await;
                    let line = line.unwrap_or_else(|_| "a connection that said nothing".to_owned());
                    attempts.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Returns the first line of the request.
async fn refuse(mut stream: TcpStream) -> String {
    let mut start = [0; 1024];
    let read = stream.read(&mut start).await.unwrap_or(0);
    drop(
        stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await,
    );
    String::from_utf8_lossy(&start[..read]).lines().next().unwrap_or("an empty connection").to_owned()
}
