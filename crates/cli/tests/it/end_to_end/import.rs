//! A room that the Python program served goes on under ours: same session, nothing lost, nothing said twice.

use super::stack::Stack;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_while_no_gateway_ran_is_answered_in_the_session_of_the_python_program() {
    let Some(stack) = Stack::new().await else { return };
    // A session that Claude Code knows, and a last message that was answered: as after the Python program.
    stack.start();
    stack.say("@bot hello there").await;
    stack.until_replies(1).await;
    let session = stack.session();
    stack.stop();
    for name in ["gateway.db", "gateway.db-wal", "gateway.db-shm", "gateway.log"] {
        drop(std::fs::remove_file(stack.home.file(name)));
    }
    let said = stack
        .server
        .world()
        .messages(&stack.room)
        .iter()
        .find(|message| message.text.contains("hello"))
        .unwrap()
        .ts;
    let state = serde_json::json!({"watchers": [{
        "watcher_name": "w0", "session_id": session, "room_id": stack.room, "room_type": "channel",
        "context_injected": true, "paused": false, "last_processed_ts": said.to_string(),
    }]});
    stack.home.write("home/state.rc.json", &state.to_string());

    stack.say("@bot [[text:said while nobody listened]]").await;
    let told = stack.run(&["start", "--wait", "20"]);
    assert!(told.contains("taken over: 1 session, 0 pauses, 1 watermark"), "{told}");
    stack.until_replies(2).await;
    assert_eq!(stack.replies()[1], "said while nobody listened");
    assert_eq!(stack.session(), session);
    let last = stack.processes().pop().unwrap();
    assert!(last.contains(&format!("--resume={session}")), "{last}");
    let request = stack.model.requests().last().unwrap().body.to_string();
    assert!(request.contains("hello there"), "the session remembers");

    // What the Python program had answered is not answered again.
    stack.say("@bot [[text:and now]]").await;
    stack.until_replies(3).await;
    assert_eq!(stack.replies()[2], "and now");
    stack.stop();
    assert_eq!(stack.replies().len(), 3);
}
