//! Who is let in, and what the answers look like.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const BODY: &str = r#"{"hook_event_name":"PreToolUse","tool_name":"Bash","tool_input":{"command":"ls",  "n":1.0},"tool_use_id":"t1"}"#;

async fn server() -> (HookServer, TaskTracker) {
    let tracker = TaskTracker::new();
    (HookServer::start("claude".into(), &tracker).await.unwrap(), tracker)
}

/// Sends a request as it is written, with the parts that only the server knows put in.
async fn send(server: &HookServer, request: &str) -> String {
    let mut stream = TcpStream::connect(&server.shared.host).await.unwrap();
    let request = request.replace("{HOST}", &server.shared.host).replace("{TOKEN}", server.token());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

fn request(line: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().flat_map(|header| [header, "\r\n"]).collect();
    format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

const GOOD: [&str; 3] = ["Host: {HOST}", "Authorization: Bearer {TOKEN}", "Content-Type: application/json"];

fn with(index: usize, header: &'static str) -> Vec<&'static str> {
    let mut headers = GOOD.to_vec();
    headers[index] = header;
    headers
}

#[tokio::test]
async fn whoever_is_not_the_program_gets_an_error_and_asks_nothing() {
    let (mut server, _tracker) = server().await;
    let good = GOOD.to_vec();
    let browser = [&GOOD[..], &["Origin: http://127.0.0.1"]].concat();
    let twice = [&GOOD[..], &["Authorization: Bearer {TOKEN}"]].concat();
    let post = "POST /pre-tool-use";
    for (line, headers, body, status) in [
        ("POST /", good.clone(), BODY, 404),
        ("POST /pre-tool-use/..", good.clone(), BODY, 404),
        ("GET /pre-tool-use", good.clone(), "", 405),
        (post, with(0, "Host: localhost"), BODY, 403),
        (post, with(0, "Host: evil.example:80"), BODY, 403),
        (post, browser, BODY, 403),
        (post, with(1, "X: y"), BODY, 401),
        (post, with(1, "Authorization: Bearer "), BODY, 401),
        (post, with(1, "Authorization: Bearer {TOKEN}x"), BODY, 401),
        (post, with(1, "Authorization: Basic {TOKEN}"), BODY, 401),
        (post, twice, BODY, 401),
        (post, with(2, "Content-Type: text/plain"), BODY, 415),
        (post, with(2, "Content-Type: application/x-www-form-urlencoded"), BODY, 415),
        (post, good.clone(), "garbage", 400),
        (post, good.clone(), "{}", 400),
        (post, good.clone(), &BODY.replace("PreToolUse", "PostToolUse"), 400),
        (post, good.clone(), &BODY.replace("\"n\"", "\"command\""), 400),
    ] {
        let answer = send(&server, &request(line, &headers, body)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {headers:?}: {answer}");
    }
    let huge = format!(
        "{post} HTTP/1.1\r\nConnection: close\r\nContent-Length: 99999999\r\n{}\r\n\r\n",
        GOOD.join("\r\n")
    );
    assert!(send(&server, &huge).await.starts_with("HTTP/1.1 413 "), "told before a byte of it is read");
    let chunked = format!(
        "{post} HTTP/1.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n{}\r\n\r\n0\r\n\r\n",
        GOOD.join("\r\n")
    );
    assert!(send(&server, &chunked).await.starts_with("HTTP/1.1 411 "));
    assert!(server.events.try_recv().is_err(), "nobody was asked");
}

#[tokio::test]
async fn a_decision_goes_back_with_the_very_bytes_that_were_asked_about() {
    let (mut server, _tracker) = server().await;
    let deny = |reason: &str| Decision::Deny { reason: reason.into() };
    for (decision, word, has_input) in [
        (Decision::Allow, "allow", true),
        (deny("not here"), "deny", false),
        (Decision::Defer, "deny", false),
        (Decision::OwnSettings, "deny", false),
    ] {
        let request = request("POST /pre-tool-use", &GOOD, BODY);
        let asking = async {
            let Some(AgentEvent::Permission { id, call, whole, deferrable }) = server.events.recv().await
            else {
                panic!()
            };
            assert!(whole && !deferrable);
            assert_eq!((call.tool.as_str(), call.raw.as_str()), ("Bash", r#"{"command":"ls",  "n":1.0}"#));
            assert_eq!(call.call_id.as_deref(), Some("t1"));
            server.shared.open().remove(&id).unwrap().send(decision).unwrap();
        };
        let shared = HookServer {
            shared: Arc::clone(&server.shared),
            events: mpsc::channel(1).1,
            _stop: CancellationToken::new().drop_guard(),
        };
        let (answer, ()) = tokio::join!(send(&shared, &request), asking);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/json"), "{head}");
        let value: Value = serde_json::from_str(body).unwrap();
        assert_eq!(value["hookSpecificOutput"]["permissionDecision"], word);
        assert_eq!(value["hookSpecificOutput"]["hookEventName"], "PreToolUse");
        assert_eq!(body.contains(r#""updatedInput":{"command":"ls",  "n":1.0}"#), has_input, "{body}");
        assert_eq!(
            has_input,
            value["hookSpecificOutput"]["updatedInput"] == json!({"command": "ls", "n": 1.0})
        );
    }
}

#[tokio::test]
async fn a_program_that_goes_away_withdraws_its_question() {
    let (mut server, tracker) = server().await;
    let mut stream = TcpStream::connect(&server.shared.host).await.unwrap();
    let request = request("POST /pre-tool-use", &GOOD, BODY);
    let request = request.replace("{HOST}", &server.shared.host).replace("{TOKEN}", server.token());
    stream.write_all(request.as_bytes()).await.unwrap();
    let Some(AgentEvent::Permission { id, .. }) = server.next().await else { panic!() };
    drop(stream);
    assert_eq!(server.next().await, Some(AgentEvent::PermissionWithdrawn { id: id.clone() }));
    server.answer(&id, Decision::Allow);
    drop(server);
    tracker.close();
    timeout(Duration::from_secs(20), tracker.wait()).await.unwrap();
}

#[tokio::test]
async fn what_is_open_when_the_turn_ends_is_refused() {
    let (mut server, tracker) = server().await;
    let request = request("POST /pre-tool-use", &GOOD, BODY);
    let mut stream = TcpStream::connect(&server.shared.host).await.unwrap();
    let request = request.replace("{HOST}", &server.shared.host).replace("{TOKEN}", server.token());
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(matches!(server.next().await, Some(AgentEvent::Permission { .. })));
    drop(server);
    let mut answer = String::new();
    timeout(Duration::from_secs(20), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    tracker.close();
    timeout(Duration::from_secs(20), tracker.wait()).await.unwrap();
}
