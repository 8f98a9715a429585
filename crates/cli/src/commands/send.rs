//! `send`: a text or a file into a room, without an agent.
//!
//! Owns where the text comes from. Everything that can be wrong with it is said before anything is sent.

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use acg_protocol::{MAX_REQUEST_BYTES, Request, SendParams};

use crate::args::SendArgs;
use crate::commands::control::simple;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::Output;

pub(crate) fn send(home: &Home, args: SendArgs, output: &Output) -> Result<ExitCode, Failure> {
    let from_stdin = args.message == ["-"];
    let inline = !args.message.is_empty() && !from_stdin;
    match (&args.file, &args.attach) {
        (Some(_), _) if inline => return Err(Failure::new("cannot use both inline message and --file")),
        (Some(_), _) if from_stdin => return Err(Failure::new("cannot use both '-' (stdin) and --file")),
        (None, None) if !inline && !from_stdin => {
            return Err(Failure::new("provide a message, --file PATH, or --attach PATH"));
        }
        _ => {}
    }
    if let Some(path) = args.file.as_ref().filter(|path| !path.exists()) {
        return Err(Failure::new(format!("file not found: {}", path.display())));
    }
    let attachment_path = args.attach.as_deref().map(attachment).transpose()?;
    let text = match &args.file {
        Some(path) => std::fs::File::open(path).and_then(limited).map_err(|error| {
            Failure::new(format!("{} cannot be read as text", path.display())).because(&error)
        })?,
        None if from_stdin => limited(io::stdin().lock())
            .map_err(|error| Failure::new("standard input cannot be read as text").because(&error))?,
        None => args.message.join(" "),
    };
    let request =
        Request::Send(SendParams { room: args.room, text, attachment_path, connector: args.connector });
    simple(home, &request, "Sent.", output)
}

/// The absolute path: the gateway runs in another directory.
fn attachment(path: &Path) -> Result<String, Failure> {
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(format!("attachment not found: {}", path.display())),
        _ => Failure::new(format!("attachment cannot be used: {}", path.display())).because(error),
    };
    let absolute = path.canonicalize().map_err(|error| failed(&error))?;
    absolute.into_os_string().into_string().map_err(|_| {
        Failure::new(format!("the path {} is not UTF-8", path.display())).next("rename the file")
    })
}

/// All of a text, as far as a request can hold it; what is longer is refused by the client.
fn limited(reader: impl Read) -> io::Result<String> {
    let mut text = String::new();
    reader.take(u64::try_from(MAX_REQUEST_BYTES).unwrap_or(u64::MAX)).read_to_string(&mut text)?;
    Ok(text)
}
