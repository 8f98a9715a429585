//! A program at the gateway's own standard input and output as a stage: `type: script`.
//!
//! Owns what its people said until the gateway has accepted it, and a record of every post as often as it comes: it has
//! no way to tell a repetition from a second message.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use acg_chaos::desk::Desk;
use acg_chaos::gateway::{Gateway, Orders};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::stage::{Held, Post};

/// Something that a person said.
struct Said {
    id: String,
    line: Value,
    accepted: bool,
}

#[derive(Default)]
struct Bridge {
    said: Vec<Said>,
    posts: Vec<(String, Post)>,
    held: Option<Held>,
    /// Posts that were not answered.
    unanswered: usize,
}

#[derive(Default)]
pub(super) struct Script {
    bridge: Arc<Mutex<Bridge>>,
    news: Arc<Notify>,
    links: Mutex<JoinSet<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Script {
    pub(super) fn connector() -> String {
        "connectors:\n  - name: chat\n    type: script\n    allowed_users:\n      owners: [alice, bob]\n      guests: [gina]\n".to_owned()
    }

    pub(super) fn start(&self, desk: &Arc<Desk>, orders: Orders) -> Gateway {
        let mut gateway = Gateway::start(desk, Orders { pipes: true, ..orders }).unwrap();
        let (input, output) = gateway.take_pipes().unwrap();
        let (bridge, news) = (Arc::clone(&self.bridge), Arc::clone(&self.news));
        // Ends with the gateway's end of the pipes, or with the stage.
        lock(&self.links).spawn(async move {
            // The gateway may die at any moment: what was not accepted is said again to the next one.
            drop(link(&bridge, &news, input, output).await);
        });
        gateway
    }

    pub(super) fn say(&self, room: &str, who: &str, text: &str, thread: Option<&str>, mention: bool) {
        let mut bridge = lock(&self.bridge);
        let id = format!("said-{}", bridge.said.len());
        let sender = json!({"id": format!("id-{who}"), "name": who});
        let mut line = json!({"type": "message", "id": id, "room": room, "sender": sender, "text": text,
            "mention": mention});
        if let Some(thread) = thread {
            line["thread"] = thread.into();
        }
        bridge.said.push(Said { id, line, accepted: false });
        drop(bridge);
        self.news.notify_one();
    }

    pub(super) fn posts(&self, room: &str) -> Vec<Post> {
        let bridge = lock(&self.bridge);
        bridge.posts.iter().filter(|(there, _)| there == room).map(|(_, post)| post.clone()).collect()
    }

    pub(super) fn hold(&self, held: Option<Held>) {
        lock(&self.bridge).held = held;
    }

    pub(super) fn unanswered(&self) -> usize {
        lock(&self.bridge).unanswered
    }

    /// Whether everything that was said is accepted.
    pub(super) fn is_heard(&self) -> bool {
        lock(&self.bridge).said.iter().all(|said| said.accepted)
    }
}

/// One life of the gateway.
async fn link(
    bridge: &Mutex<Bridge>,
    news: &Notify,
    mut input: ChildStdin,
    output: ChildStdout,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(output).lines();
    let mut told = 0;
    loop {
        let new: String = {
            let bridge = lock(bridge);
            let fresh = bridge.said[told..].iter().filter(|said| !said.accepted);
            let text = fresh.flat_map(|said| [said.line.to_string(), "\n".to_owned()]).collect();
            told = bridge.said.len();
            text
        };
        input.write_all(new.as_bytes()).await?;
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line? else { return Ok(()) };
                let answer = lock(bridge).hear(&line);
                if let Some(answer) = answer {
                    input.write_all(format!("{answer}\n").as_bytes()).await?;
                }
            }
            () = news.notified() => {}
        }
    }
}

impl Bridge {
    /// Takes a line of the gateway; gives the answer to it.
    fn hear(&mut self, line: &str) -> Option<Value> {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        let id = text("id").unwrap_or_default();
        match line["type"].as_str().unwrap() {
            "accepted" => {
                let said = self.said.iter_mut().filter(|said| said.id == id);
                said.for_each(|said| said.accepted = true);
                None
            }
            "post" => {
                if self.held != Some(Held::Lost) {
                    let post = Post { id: id.clone(), thread: text("thread"), text: text("text").unwrap() };
                    self.posts.push((text("room").unwrap(), post));
                }
                if self.held.is_some() {
                    self.unanswered += 1;
                    return None;
                }
                Some(json!({"type": "posted", "id": id}))
            }
            "file" => Some(json!({"type": "posted", "id": id})),
            "error" => panic!("the gateway does not understand: {line}"),
            _ => None,
        }
    }
}
