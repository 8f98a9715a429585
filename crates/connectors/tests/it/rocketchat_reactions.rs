//! Reactions that answer a question.

use acg_core::connector::Reaction;
use acg_testing::rocketchat::AddUser;
use acg_types::Sender;

use crate::intake::MemoryIntake;
use crate::rig::{PASSWORD, Running, Scene, part, rooms};

const QUESTION: &str = "questionquestionq";

fn reaction(scene: &Scene, id: &str, username: &str, emoji: &str) -> Reaction {
    Reaction {
        room: scene.general.as_str().into(),
        message: QUESTION.into(),
        sender: Sender { id: id.into(), username: username.to_owned(), display_name: None },
        emoji: emoji.to_owned(),
    }
}

/// A bot that has asked a question.
async fn asked(scene: &Scene) -> Running {
    let intake = MemoryIntake::new(rooms(&["general"]));
    let running = Running::ready(&scene.by_password(), &intake).await;
    intake.state().asking.insert(QUESTION.into());
    running.connector.send(&part(&scene.general, QUESTION, "May I?", 0)).await.unwrap();
    running
}

#[tokio::test]
async fn a_reaction_on_a_question_is_told_with_the_id_of_who_made_it() {
    let scene = Scene::new().await;
    let running = asked(&scene).await;
    let world = scene.server.world();
    let other = scene.say("@bot one");
    for (user, message, emoji) in [
        (&scene.alice, QUESTION, ":eyes:"),
        (&scene.bot, QUESTION, ":white_check_mark:"),
        (&scene.alice, &*other, ":white_check_mark:"),
        (&scene.alice, QUESTION, ":x:"),
    ] {
        world.react(user, message, emoji);
    }
    let expected = reaction(&scene, &scene.alice, "alice", "❌");
    running.until("the refusal", |state| state.reactions.contains(&expected)).await;
    scene.say("@bot two");
    running.until_texts(&["one", "two"]).await;
    assert_eq!(running.intake.state().reactions, [expected], "neither the bot's own, nor on other messages");
    running.stop().await;
}

#[tokio::test]
async fn a_reaction_made_while_the_gateway_was_away_is_told_afterwards() {
    let scene = Scene::new().await;
    let running = asked(&scene).await;
    let intake = running.intake.clone();
    running.stop().await;
    scene.server.world().react(&scene.alice, QUESTION, ":white_check_mark:");
    let running = Running::ready_again(&scene.by_password(), &intake).await;
    let expected = reaction(&scene, &scene.alice, "alice", "✅");
    running.until("the approval", |state| state.reactions == [expected.clone()]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_reaction_whose_maker_cannot_be_found_out_is_no_answer() {
    let scene = Scene::new().await;
    let running = asked(&scene).await;
    let world = scene.server.world();
    scene.server.faults().fail_rest("users.info", 500, 1000);
    world.react(&scene.alice, QUESTION, ":white_check_mark:");
    // Whatever becomes of it, what is said afterwards must still come in.
    scene.say("@bot after");
    running.until_texts(&["after"]).await;
    assert_eq!(running.intake.state().reactions, []);
    running.stop().await;
}

#[tokio::test]
async fn a_reaction_counts_for_who_has_the_name_now_not_for_who_had_it() {
    let scene = Scene::new().await;
    let running = asked(&scene).await;
    let world = scene.server.world();
    let mallory = world.add_user("mallory", AddUser::password(PASSWORD));
    world.join(&scene.general, &mallory);
    world.rename_user(&scene.alice, "alicia");
    world.rename_user(&mallory, "alice");
    world.react(&mallory, QUESTION, ":white_check_mark:");
    let expected = reaction(&scene, &mallory, "alice", "✅");
    running.until("mallory's", |state| state.reactions == [expected.clone()]).await;
    running.stop().await;
}
