//! Allowances: what they cover, and when they end.

use acg_store::{GrantQuery, GrantScope, NewGrant, Store};
use acg_types::{GrantId, Role, SessionId, Timestamp};

use crate::support::{NOW, allowance, begun, entry, key, record, recorded};

fn query(session: Option<&str>) -> GrantQuery {
    let grant = allowance(GrantScope::Always);
    GrantQuery {
        connector: grant.connector,
        room: grant.room,
        agent: grant.agent,
        role: grant.role,
        tool: grant.tool,
        sameness: grant.sameness,
        session: session.map(SessionId::from),
    }
}

async fn covers(store: &Store, query: &GrantQuery) -> Option<GrantId> {
    store.granted(query).await.unwrap().map(|row| row.id)
}

#[tokio::test]
async fn an_allowance_covers_only_what_agrees_in_everything() {
    let store = Store::open_in_memory().unwrap();
    let new = allowance(GrantScope::Always);
    let id = store.grant(new.clone(), NOW, entry("granted")).await.unwrap();
    let row = store.granted(&query(Some("any"))).await.unwrap().unwrap();
    assert_eq!((row.id, row.grant, row.given_at, row.revoked_at, row.over), (id, new, NOW, None, false));
    assert_eq!(covers(&store, &query(None)).await, Some(id));
    for other in [
        GrantQuery { connector: "x".into(), ..query(None) },
        GrantQuery { room: "x".into(), ..query(None) },
        GrantQuery { agent: "x".into(), ..query(None) },
        GrantQuery { role: Role::owner(), ..query(None) },
        GrantQuery { tool: "bash".to_owned(), ..query(None) },
        GrantQuery { sameness: "S".repeat(64), ..query(None) },
    ] {
        assert_eq!(covers(&store, &other).await, None, "{other:?}");
    }
}

#[tokio::test]
async fn one_that_is_revoked_stays_known_and_covers_nothing() {
    let store = Store::open_in_memory().unwrap();
    let id = store.grant(allowance(GrantScope::Always), NOW, entry("granted")).await.unwrap();
    // Given twice it is one: revoking it must not leave another in force.
    assert_eq!(store.grant(allowance(GrantScope::Always), NOW, entry("granted")).await.unwrap(), id);
    let at = Timestamp(NOW.0 + 9);
    assert!(store.revoke_grant(id, at, entry("revoked")).await.unwrap());
    assert!(!store.revoke_grant(id, at, entry("revoked")).await.unwrap());
    assert!(!store.revoke_grant(GrantId(99), at, entry("revoked")).await.unwrap());
    assert_eq!(recorded(&store).await, 3);
    assert_eq!(covers(&store, &query(None)).await, None);
    assert!(store.grants(false).await.unwrap().is_empty());
    assert_eq!(store.grants(true).await.unwrap()[0].revoked_at, Some(at));
    let again = store.grant(allowance(GrantScope::Always), NOW, entry("granted")).await.unwrap();
    assert_ne!(again, id);
    assert_eq!(covers(&store, &query(None)).await, Some(again));
}

#[tokio::test]
async fn one_for_a_session_ends_when_the_session_is_replaced() {
    let store = Store::open_in_memory().unwrap();
    let conversation = store.conversation(&key("origin", "agent")).await.unwrap().id;
    let give = async |session: &str| {
        let new: NewGrant = allowance(GrantScope::Session(session.into()));
        store.grant(new, NOW, entry("granted")).await.unwrap()
    };
    let set = async |session: Option<&str>| {
        let session = session.map(SessionId::from);
        store.set_session(conversation, session.as_ref(), true).await.unwrap();
    };
    set(Some("s1")).await;
    let first = give("s1").await;
    assert_eq!(covers(&store, &query(Some("s1"))).await, Some(first));
    assert_eq!(covers(&store, &query(Some("s2"))).await, None);
    assert_eq!(covers(&store, &query(None)).await, None);
    set(Some("s1")).await;
    assert_eq!(covers(&store, &query(Some("s1"))).await, Some(first), "nothing has changed");
    set(None).await;
    set(Some("s1")).await;
    assert_eq!(covers(&store, &query(Some("s1"))).await, None, "also if it should come back");
    assert!(store.grants(true).await.unwrap()[0].over);
    assert!(!store.revoke_grant(first, NOW, entry("revoked")).await.unwrap());
}

#[tokio::test]
async fn it_ends_also_with_a_role_a_turn_or_a_reset() {
    let store = Store::open_in_memory().unwrap();
    let guest = Role::guest();
    let give = async |session: &str| {
        store.grant(allowance(GrantScope::Session(session.into())), NOW, entry("granted")).await.unwrap();
        assert!(covers(&store, &query(Some(session))).await.is_some());
    };
    let (turn, _, conversation) = begun(&store, "origin", "1").await;
    store.turn_sent_as(turn, &"g1".into(), Some(&guest)).await.unwrap();
    give("g1").await;
    // The agent goes on in another session.
    let mut end = record(turn, vec![]);
    end.session = Some("g2".into());
    store.end_turn(end).await.unwrap();
    assert_eq!(covers(&store, &query(Some("g1"))).await, None);

    give("g2").await;
    store.set_session_of(conversation, Some(&guest), None, false).await.unwrap();
    assert_eq!(covers(&store, &query(Some("g2"))).await, None);

    store.set_session_of(conversation, Some(&guest), Some(&"g3".into()), true).await.unwrap();
    store.set_session(conversation, Some(&"own".into()), true).await.unwrap();
    give("g3").await;
    give("own").await;
    store.reset_sessions(conversation).await.unwrap();
    assert!(store.grants(false).await.unwrap().is_empty());
}
