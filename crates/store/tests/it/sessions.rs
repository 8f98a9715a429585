//! Sessions of roles beside a conversation's own.

use acg_store::{Store, StoreError};
use acg_types::{ConversationId, Role};

use crate::support::{accept, begun, key, record, session};

#[tokio::test]
async fn each_role_keeps_its_own_session() {
    let store = Store::open_in_memory().unwrap();
    let (owner, guest) = (Role::owner(), Role::guest());
    let id = store.conversation(&key("r", "agent")).await.unwrap().id;
    let of = async |role: Option<&Role>| store.session_of(id, role).await.unwrap();
    assert_eq!(of(None).await, (None, false));
    assert_eq!(of(Some(&guest)).await, (None, false));
    store.set_session_of(id, None, Some(&"own".into()), true).await.unwrap();
    store.set_session_of(id, Some(&guest), Some(&"g".into()), false).await.unwrap();
    store.set_session_of(id, Some(&owner), Some(&"o".into()), true).await.unwrap();
    assert_eq!(of(None).await, (Some("own".into()), true));
    assert_eq!(of(Some(&guest)).await, (Some("g".into()), false));
    assert_eq!(of(Some(&owner)).await, (Some("o".into()), true));
    store.set_session_of(id, Some(&guest), None, true).await.unwrap();
    assert_eq!(of(Some(&guest)).await, (None, false));
    assert_eq!(session(&store, id).await.session, Some("own".into()));

    let other = store.conversation(&key("r2", "agent")).await.unwrap().id;
    store.set_session_of(other, Some(&owner), Some(&"elsewhere".into()), true).await.unwrap();
    assert_eq!(store.reset_sessions(id).await.unwrap(), ["own".into(), "o".into()]);
    assert_eq!((of(None).await, of(Some(&owner)).await), ((None, false), (None, false)));
    assert_eq!(store.session_of(other, Some(&owner)).await.unwrap().0, Some("elsewhere".into()));
    assert!(store.reset_sessions(id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_turn_in_a_roles_session_leaves_the_conversations_own_alone() {
    let store = Store::open_in_memory().unwrap();
    let guest = Role::guest();
    let (turn, _, id) = begun(&store, "r", "1").await;
    store.set_session(id, Some(&"own".into()), false).await.unwrap();
    store.turn_sent_as(turn, &"g1".into(), Some(&guest)).await.unwrap();
    let unfinished = &store.unfinished_turns().await.unwrap()[0];
    assert_eq!(unfinished.session, Some("g1".into()));
    assert_eq!(unfinished.session_role, Some(guest.clone()));
    assert_eq!(store.session_of(id, Some(&guest)).await.unwrap(), (Some("g1".into()), true));
    let mut end = record(turn, vec![]);
    end.session = Some("g2".into());
    store.end_turn(end).await.unwrap();
    assert_eq!(store.session_of(id, Some(&guest)).await.unwrap(), (Some("g2".into()), true));
    assert_eq!(store.session_of(id, None).await.unwrap(), (Some("own".into()), false));

    let (row, _) = accept(&store, "r", "2").await;
    let turn = store.begin_turn(id, &[row], &guest, crate::support::NOW).await.unwrap().unwrap();
    store.turn_sent(turn, &"own2".into()).await.unwrap();
    assert_eq!(store.unfinished_turns().await.unwrap()[0].session_role, None);
    assert_eq!(store.session_of(id, None).await.unwrap(), (Some("own2".into()), true));
    assert_eq!(store.session_of(id, Some(&guest)).await.unwrap().0, Some("g2".into()));
}

#[tokio::test]
async fn an_unknown_conversation_has_no_sessions() {
    let store = Store::open_in_memory().unwrap();
    let (unknown, guest) = (ConversationId(99), Role::guest());
    let found = store.session_of(unknown, Some(&guest)).await;
    assert!(matches!(found, Err(StoreError::NoSuchConversation(_))));
    let set = store.set_session_of(unknown, Some(&guest), Some(&"s".into()), true).await;
    assert!(matches!(set, Err(StoreError::NoSuchConversation(_))));
    assert!(matches!(store.reset_sessions(unknown).await, Err(StoreError::NoSuchConversation(_))));
}
