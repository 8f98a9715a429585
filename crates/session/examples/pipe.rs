//! One agent answers, and another one works on its answer.
//!
//! `cargo run --example pipe`

use acg_session::{Agent, Open, SessionError, pipe};

/// Runs both in a directory; the second answer.
pub(crate) async fn run(directory: &std::path::Path) -> Result<String, SessionError> {
    // Two entries: any types that are installed, such as `type: claude` and `type: opencode`.
    let writer = Agent::from_entry("type: demo\npace: 0", directory)?;
    let critic = Agent::from_entry("type: demo\npace: 0", directory)?;
    let mut writing = writer.open(Open::new()).await?;
    let mut reading = critic.open(Open::new().context("You review what others wrote.")).await?;
    let (_summary, review) = pipe(&mut writing, "Sum up this project.", &mut reading, |summary| {
        format!("Review this:\n{summary}")
    })
    .await?;
    writer.close().await;
    critic.close().await;
    Ok(review.text)
}

#[expect(clippy::print_stdout, reason = "it is a program")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), SessionError> {
    println!("{}", run(std::path::Path::new(".")).await?);
    Ok(())
}
