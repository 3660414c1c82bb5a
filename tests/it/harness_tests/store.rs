//! The object store as a test sees it, and as the daemon sees it: through a link.

use aws_sdk_s3::error::DisplayErrorContext;

use crate::harness::link::{Direction, Link};
use crate::harness::ports;
use crate::harness::services::Services;
use crate::harness::store::{BUCKET, Store};
use crate::harness::world::unique;
use crate::images::jpeg;

#[tokio::test]
async fn objects_come_back_and_are_listed_and_deleted() {
    let store = open("objects_come_back").await;
    let stored = store.put("a/face.jpg", jpeg::tiny(1)).await;
    assert_eq!((stored.bucket, stored.key), (BUCKET, store.key("a/face.jpg")));
    assert!(!stored.etag.is_empty());
    assert_eq!(store.get("a/face.jpg").await, Some(jpeg::tiny(1)));
    assert_eq!(store.list().await, [store.key("a/face.jpg")]);

    store.delete("a/face.jpg").await;
    assert_eq!(store.get("a/face.jpg").await, None);
    assert_eq!(store.list().await, [""; 0]);
}

#[tokio::test]
async fn tests_do_not_see_each_others_objects() {
    let (one, two) = (open("see_each_other").await, open("see_each_other").await);
    one.put("face.jpg", jpeg::tiny(1)).await;
    assert_eq!(two.get("face.jpg").await, None);
    assert_eq!(two.list().await, [""; 0]);
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_store() {
    let prefix = format!("{}/", unique("nothing_is_left"));
    let services = Services::from_env();
    let store = Store::new(&services, prefix.clone()).await;
    store.put("face.jpg", jpeg::tiny(1)).await;
    drop(store);
    let again = Store::new(&services, prefix).await;
    assert_eq!(again.list().await, [""; 0]);
}

#[tokio::test]
#[should_panic(expected = "run make test, or: eval")]
async fn a_store_that_is_not_there_fails_the_test() {
    let mut services = Services::from_env();
    services.s3_endpoint = format!("http://{}", ports::reserve());
    Store::new(&services, unique("not_there")).await;
}

#[tokio::test]
async fn a_link_breaks_a_download_in_its_middle() {
    const LEN: usize = 1 << 20;

    let store = open("breaks_a_download").await;
    store.put("large.jpg", jpeg::of_size(LEN, 1)).await;
    let mut services = Services::from_env();
    let link = Link::to(services.s3_address()).await;
    services.s3_endpoint = format!("http://{}", link.addr());

    let client = Store::client(&services);
    let get = || client.get_object().bucket(BUCKET).key(store.key("large.jpg")).send();
    let whole = get().await.unwrap_or_else(|problem| panic!("{}", DisplayErrorContext(problem)));
    assert_eq!(whole.body.collect().await.expect("the link is open").to_vec().len(), LEN);
    assert!(link.bytes(Direction::ToDaemon) > LEN as u64);

    for break_after in [Link::drop_after, Link::close_after] {
        break_after(&link, LEN as u64 / 2, Direction::ToDaemon);
        let begun = get().await.unwrap_or_else(|problem| panic!("{}", DisplayErrorContext(problem)));
        assert_eq!(begun.content_length(), Some(1 << 20), "the break comes after the head");
        begun.body.collect().await.expect_err("half of the body is missing");
    }
}

async fn open(test: &str) -> Store {
    Store::new(&Services::from_env(), format!("{}/", unique(test))).await
}
