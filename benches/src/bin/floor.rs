//! The floor: the least a program must do that stores what it was told before it answers.
//!
//! Logs in, subscribes, and for each message makes as many commits as the gateway does, one after the other, each
//! on the disk before the next step, shared between rooms as the gateway shares them; then it posts. It uses the same
//! libraries. It has no policy, no order, no agent, no retries: it must never be used for anything but this.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

type Failure = Box<dyn Error + Send + Sync>;

/// Commits before the post, as the gateway makes them: accepted, turn begun, prompt handed over, turn ended,
/// attempt to post. One more follows the post.
const BEFORE_POST: u8 = 5;
/// Most jobs of one commit, as in the gateway.
const GROUP: usize = 128;
/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["start", home, url, word] => start(Path::new(home), url, word),
        ["run", home, url] => run(Path::new(home), url),
        ["call", home, word] => call(Path::new(home), word),
        _ => Err("start HOME URL ready|connected; run HOME URL; call HOME status|stop".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "floor: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs this program in the background, and returns when it says `word`.
fn start(home: &Path, url: &str, word: &str) -> Result<(), Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["run".as_ref(), home.as_os_str(), url.as_ref()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(home.join("floor.log"))?)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no pipe")?;
    for line in BufReader::new(stdout).lines() {
        if line? == word {
            return Ok(());
        }
    }
    Err("it ended before it was ready".into())
}

/// One request to the running program; the end of the answer is the end of the connection.
fn call(home: &Path, word: &str) -> Result<(), Failure> {
    let mut socket = std::os::unix::net::UnixStream::connect(home.join("floor.sock"))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(format!("{word}\n").as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    writeln!(std::io::stdout(), "{answer}")?;
    Ok(())
}

fn run(home: &Path, url: &str) -> Result<(), Failure> {
    let (store, writer) = Store::open(&home.join("floor.db"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let goodbye = runtime.block_on(serve(home, url, store))?;
    drop(runtime);
    writer.join().map_err(|_| "the writer broke")??;
    std::fs::remove_file(home.join("floor.sock"))?;
    // Whoever asked for the stop learns of it by the end of the process.
    drop(goodbye);
    Ok(())
}

fn say(word: &str) {
    // Nobody listens any more once `start` is over.
    drop(writeln!(std::io::stdout(), "{word}"));
}

async fn serve(home: &Path, url: &str, store: Store) -> Result<UnixStream, Failure> {
    let control = UnixListener::bind(home.join("floor.sock"))?;
    let mut pid = File::create(home.join("floor.pid"))?;
    pid.write_all(std::process::id().to_string().as_bytes())?;
    say("ready");
    let mut relaying = JoinSet::new();
    let (url, kept) = (url.to_owned(), home.to_owned());
    relaying.spawn(async move { relay(&url, &kept, store).await });
    loop {
        tokio::select! {
            accepted = control.accept() => {
                let (mut socket, _) = accepted?;
                let mut word = [0; 16];
                let read = timeout(PATIENCE, socket.read(&mut word)).await??;
                if word.get(..read).is_some_and(|word| word.starts_with(b"stop")) {
                    relaying.shutdown().await;
                    return Ok(socket);
                }
                timeout(PATIENCE, socket.write_all(b"{\"ok\":true}\n")).await??;
            }
            Some(ended) = relaying.join_next() => ended??,
        }
    }
}

/// What a post needs.
struct Account {
    client: reqwest::Client,
    base: String,
    user: String,
    token: String,
    store: Store,
}

/// Logs in once and keeps the token, as the gateway does: servers allow few log-ins a minute.
async fn login(client: &reqwest::Client, url: &str, home: &Path) -> Result<(String, String), Failure> {
    let kept = home.join("floor.token");
    if let Ok(token) = std::fs::read_to_string(&kept)
        && let Some((user, token)) = token.split_once(' ')
    {
        return Ok((user.to_owned(), token.to_owned()));
    }
    let login = json!({ "user": "bot", "password": "secret" });
    let answer = client.post(format!("{url}/api/v1/login")).json(&login).send().await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    let part = |key: &str| answer["data"][key].as_str().map(str::to_owned).ok_or("no log-in");
    let (user, token) = (part("userId")?, part("authToken")?);
    File::create(kept)?.write_all(format!("{user} {token}").as_bytes())?;
    Ok((user, token))
}

/// Logs in, subscribes, and relays until the socket closes.
async fn relay(url: &str, home: &Path, store: Store) -> Result<(), Failure> {
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().map_err(|_| "two TLS providers")?;
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let (user, token) = login(&client, url, home).await?;
    let socket_url = format!("ws{}/websocket", url.strip_prefix("http").unwrap_or(url));
    let (mut socket, _) =
        timeout(PATIENCE, tokio_tungstenite::connect_async_with_config(socket_url, None, true)).await??;
    let account = Arc::new(Account { client, base: url.to_owned(), user, token, store });
    let resume = json!([{ "resume": account.token }]);
    let args = json!(["__my_messages__", { "useCollection": false, "args": [] }]);
    for frame in [
        json!({ "msg": "connect", "version": "1", "support": ["1"] }),
        json!({ "msg": "method", "method": "login", "id": "1", "params": resume }),
        json!({ "msg": "sub", "id": "2", "name": "stream-room-messages", "params": args }),
    ] {
        socket.send(Message::text(frame.to_string())).await?;
    }
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text)?;
                    let document = &frame["fields"]["args"][0];
                    match frame["msg"].as_str() {
                        Some("ping") => socket.send(Message::text("{\"msg\":\"pong\"}")).await?,
                        Some("ready") => say("connected"),
                        Some("changed") if document["u"]["_id"] != account.user.as_str() => {
                            let said = Said::read(document).ok_or("a message without an id")?;
                            answering.spawn(answer_one(Arc::clone(&account), said));
                        }
                        _ => {}
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the server closed the connection".into()),
            },
            Some(ended) = answering.join_next() => ended??,
        }
    }
}

/// A message as far as it matters.
struct Said {
    id: String,
    room: String,
    text: String,
}

impl Said {
    fn read(document: &Value) -> Option<Self> {
        let part = |key: &str| document[key].as_str().map(str::to_owned);
        Some(Self { id: part("_id")?, room: part("rid")?, text: part("msg")? })
    }
}

async fn answer_one(account: Arc<Account>, said: Said) -> Result<(), Failure> {
    for step in 0..BEFORE_POST {
        account.store.commit(step, &said).await?;
    }
    let mark = said.text.split(' ').next_back().unwrap_or_default();
    let message =
        json!({ "_id": format!("a{}", said.id), "rid": said.room, "msg": format!("answer to {mark}") });
    let answer = account
        .client
        .post(format!("{}/api/v1/chat.sendMessage", account.base))
        .header("X-Auth-Token", &account.token)
        .header("X-User-Id", &account.user)
        .json(&json!({ "message": message }))
        .send()
        .await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    if answer["success"] != true {
        return Err(format!("the post was refused: {answer}").into());
    }
    account.store.commit(BEFORE_POST, &said).await
}

/// One write, answered after its commit.
struct Job {
    step: u8,
    id: String,
    room: String,
    text: String,
    done: oneshot::Sender<()>,
}

type Writer = std::thread::JoinHandle<Result<(), rusqlite::Error>>;

/// The way to the thread that owns the database.
struct Store {
    jobs: mpsc::Sender<Job>,
}

impl Store {
    fn open(path: &Path) -> Result<(Self, Writer), Failure> {
        let database = rusqlite::Connection::open(path)?;
        database.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA fullfsync = ON;
             CREATE TABLE IF NOT EXISTS message (id TEXT PRIMARY KEY, room TEXT, text TEXT, state INTEGER);",
        )?;
        let (jobs, queue) = mpsc::channel(256);
        Ok((Self { jobs }, std::thread::spawn(move || write(&database, queue))))
    }

    async fn commit(&self, step: u8, said: &Said) -> Result<(), Failure> {
        let (done, is_done) = oneshot::channel();
        let (id, room, text) = (said.id.clone(), said.room.clone(), said.text.clone());
        let job = Job { step, id, room, text, done };
        self.jobs.send(job).await.map_err(|_| "the writer ended")?;
        Ok(timeout(PATIENCE, is_done).await??)
    }
}

fn write(database: &rusqlite::Connection, mut queue: mpsc::Receiver<Job>) -> Result<(), rusqlite::Error> {
    while let Some(first) = queue.blocking_recv() {
        let others = std::iter::from_fn(|| queue.try_recv().ok()).take(GROUP - 1);
        let jobs: Vec<Job> = std::iter::once(first).chain(others).collect();
        database.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for job in &jobs {
            if job.step == 0 {
                database
                    .prepare_cached("INSERT INTO message (id, room, text, state) VALUES (?1, ?2, ?3, 0)")?
                    .execute((&job.id, &job.room, &job.text))?;
            } else {
                database
                    .prepare_cached("UPDATE message SET state = ?2 WHERE id = ?1")?
                    .execute((&job.id, job.step))?;
            }
        }
        database.prepare_cached("COMMIT")?.execute([])?;
        for job in jobs {
            // Whoever asked may be gone: then nobody waits.
            let _gone = job.done.send(());
        }
    }
    Ok(())
}
