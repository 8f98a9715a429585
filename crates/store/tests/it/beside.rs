//! A second process at the same database: beside a running gateway, and where none runs.

use std::fs;
use std::path::Path;

use acg_store::{AuditFilter, GrantScope, OpenError, Store, StoreError};

use crate::support::{NOW, allowance, entry, recorded};

/// Every file with its content.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn where_no_database_is_none_is_made() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("deep").join("acg.db");
    for open in [Store::open_beside, Store::open_to_read] {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
        assert!(files(home.path()).is_empty());
    }
    let garbage = home.path().join("garbage");
    acg_types::fs::write_private(&garbage, b"none of ours").unwrap();
    for open in [Store::open_beside, Store::open_to_read] {
        assert!(matches!(open(&garbage), Err(OpenError::Damaged { .. })));
    }
    assert_eq!(files(home.path()).len(), 1);
}

#[tokio::test]
async fn a_reader_at_rest_leaves_every_byte_as_it_is() {
    let home = tempfile::Builder::new().prefix("a b%?#").tempdir().unwrap();
    let path = home.path().join("acg.db");
    let store = Store::open(&path).unwrap();
    store.record(entry("allowed")).await.unwrap();
    store.close().await.unwrap();
    let before = files(home.path());
    let reader = Store::open_to_read(&path).unwrap();
    assert_eq!(recorded(&reader).await, 1);
    assert!(matches!(reader.record(entry("allowed")).await, Err(StoreError::Sql(_))));
    assert_eq!(files(home.path()), before);
    reader.close().await.unwrap();
    assert_eq!(files(home.path()), before);
}

#[tokio::test]
async fn a_reader_sees_what_a_running_gateway_has_committed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let gateway = Store::open(&path).unwrap();
    gateway.record(entry("allowed")).await.unwrap();
    let reader = Store::open_to_read(&path).unwrap();
    assert_eq!(recorded(&reader).await, 1);
    gateway.record(entry("denied")).await.unwrap();
    assert_eq!(recorded(&reader).await, 2);
    assert!(reader.record(entry("allowed")).await.is_err());
    let names: Vec<_> = files(home.path()).into_iter().map(|(name, _)| name).collect();
    reader.close().await.unwrap();
    assert_eq!(names, files(home.path()).into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    gateway.record(entry("denied")).await.unwrap();
    gateway.close().await.unwrap();
    assert_eq!(files(home.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_make_one_chain() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let gateway = Store::open(&path).unwrap();
    let other = Store::open_beside(&path).unwrap();
    let grant = other.grant(allowance(GrantScope::Always), NOW, entry("granted")).await.unwrap();
    let work = async |store: &Store| {
        for _ in 0..30 {
            store.record(entry("allowed")).await.unwrap();
        }
    };
    tokio::join!(work(&gateway), work(&other));
    assert!(other.revoke_grant(grant, NOW, entry("revoked")).await.unwrap());
    assert!(!gateway.revoke_grant(grant, NOW, entry("revoked")).await.unwrap());
    other.close().await.unwrap();
    assert_eq!(recorded(&gateway).await, 62);
    let rows = gateway.audit(AuditFilter::default()).await.unwrap();
    assert!(rows.iter().map(|row| row.seq).eq(1..=62));
    gateway.record(entry("allowed")).await.unwrap();
}
