//! A stand-in for Claude Code that keeps a record: the same frames over the same pipes, and no model.

fn main() -> std::io::Result<()> {
    Ok(())
}
