//! The examples do what they say.

use crate::{ask, own_backend, pipe};

#[tokio::test]
async fn an_answer_is_shown_while_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let shown = ask::run(directory.path(), "hello there").await.unwrap();
    assert!(shown.contains("demo agent") && shown.contains("(session "), "{shown}");
}

#[tokio::test]
async fn what_writes_is_refused_by_an_example_that_only_reads() {
    let directory = tempfile::tempdir().unwrap();
    let shown = ask::run(directory.path(), "note buy milk").await.unwrap();
    assert!(shown.contains("this example only reads"), "{shown}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was written");
}

#[tokio::test]
async fn one_answer_becomes_the_others_prompt() {
    let directory = tempfile::tempdir().unwrap();
    let review = pipe::run(directory.path()).await.unwrap();
    assert!(review.contains("> Review this:"), "{review}");
    assert!(review.contains("> > Sum up this project."), "the first answer is in it: {review}");
}

#[tokio::test]
async fn a_backend_of_ones_own_works_like_the_others() {
    assert_eq!(own_backend::run("abc", false).await.unwrap(), "cba");
    assert_eq!(own_backend::run("abc!", true).await.unwrap(), "!CBA");
    assert_eq!(own_backend::run("abc!", false).await.unwrap(), "!cba");
}

#[test]
fn the_guide_shows_the_example_as_it_is() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(root.join("../../docs/backends.md")).unwrap();
    let example = std::fs::read_to_string(root.join("examples/own_backend.rs")).unwrap();
    assert!(guide.contains(&example), "docs/backends.md shows another own_backend.rs");
}
