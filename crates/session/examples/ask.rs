//! Asks an agent once, shows the answer while it is written, and allows what only reads.
//!
//! `cargo run --example ask -- "What is in this directory?"`

use acg_session::{Agent, Event, Open, SessionError};

/// What an `agents:` entry would say. With `permissions`, what no rule allows is asked about.
const ENTRY: &str = "
type: demo
pace: 0
permissions: {enabled: true}
";

/// Asks in a directory; the answer.
pub(crate) async fn run(directory: &std::path::Path, prompt: &str) -> Result<String, SessionError> {
    let agent = Agent::from_entry(ENTRY, directory)?;
    let mut session = agent.open(Open::new().title("example")).await?;
    let mut turn = session.stream(prompt).await?;
    let mut shown = String::new();
    let reply = loop {
        match turn.next().await? {
            Event::Text(piece) => shown.push_str(&piece),
            Event::Question(question) => {
                let allow = question.call.tool == "Read";
                turn.answer(&question, allow, "this example only reads").await?;
            }
            Event::End(reply) => break reply.completed()?,
            _ => {}
        }
    };
    agent.close().await;
    Ok(format!("{shown}\n(session {})", reply.session))
}

#[expect(clippy::print_stdout, reason = "it is a program")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), SessionError> {
    let prompt = std::env::args().nth(1).unwrap_or_else(|| "Hello!".to_owned());
    println!("{}", run(std::path::Path::new("."), &prompt).await?);
    Ok(())
}
