//! Lists of tags from the real registry.

use crate::support::{REPOSITORY, at, logged, names, plain, registries, total, with_limits};
use tagboat_engine::ports::{FaultKind, ImageRegistry as _};
use tagboat_registry::Limits;
use tagboat_testkit::{ImageSpec, Registry};

async fn registry_with(tags: &[&str]) -> Registry {
    let registry = Registry::start().await.unwrap();
    for tag in tags {
        registry.push_image(REPOSITORY, tag, &ImageSpec::default()).await.unwrap();
    }
    registry
}

#[tokio::test]
async fn links_are_followed_to_the_end_of_the_list() {
    let registry = registry_with(&["a", "b", "c", "d", "e"]).await;
    let limits = Limits { page_size: 2, ..Limits::default() };
    let adapter = with_limits(vec![plain(&registry.host())], limits);
    let before = logged(&registry, 0).await.len();
    let list = adapter.tags(&at(&registry.host(), REPOSITORY)).await.unwrap();
    assert_eq!(names(&list), ["a", "b", "c", "d", "e"]);
    assert_eq!(list.dropped, None);
    let requests = logged(&registry, before + 3).await;
    assert_eq!(
        requests[before..],
        [
            "GET /v2/acme/web/tags/list?n=2 200",
            "GET /v2/acme/web/tags/list?last=b&n=2 200",
            "GET /v2/acme/web/tags/list?last=d&n=2 200"
        ]
    );
}

#[tokio::test]
async fn a_list_that_fits_a_page_is_one_request_each_time() {
    let registry = registry_with(&["a", "b"]).await;
    let adapter = registries(vec![plain(&registry.host())]);
    for cycle in 1..=3 {
        assert_eq!(names(&adapter.tags(&at(&registry.host(), REPOSITORY)).await.unwrap()), ["a", "b"]);
        assert_eq!(total(&adapter), cycle);
    }
    let counted = adapter.requests();
    assert_eq!(counted.into_iter().collect::<Vec<_>>(), [((registry.host(), 200), 3)]);
}

#[tokio::test]
async fn a_repository_whose_tags_are_gone_has_an_empty_list() {
    let registry = registry_with(&["a"]).await;
    registry.delete_tag(REPOSITORY, "a").await.unwrap();
    let adapter = registries(vec![plain(&registry.host())]);
    let list = adapter.tags(&at(&registry.host(), REPOSITORY)).await.unwrap();
    assert!(list.rows.is_empty() && list.dropped.is_none(), "{list:?}");
}

#[tokio::test]
async fn a_repository_that_does_not_exist_is_a_fault_that_names_it() {
    let registry = registry_with(&[]).await;
    let adapter = registries(vec![plain(&registry.host())]);
    let fault = adapter.tags(&at(&registry.host(), "acme/nothing")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotFound);
    assert!(fault.text.contains("acme/nothing") && fault.text.contains("NAME_UNKNOWN"), "{}", fault.text);
}

#[tokio::test]
async fn a_list_beyond_a_limit_is_a_fault_and_no_shorter_list() {
    let registry = registry_with(&["a", "b", "c"]).await;
    for (limits, named) in [
        (Limits { page_size: 1, pages: 2, ..Limits::default() }, "the number of pages exceeds the limit of 2"),
        (Limits { tags: 2, ..Limits::default() }, "the number of tags exceeds the limit of 2"),
        (Limits { page_bytes: 16, ..Limits::default() }, "the size of a page of tags exceeds the limit of 16"),
    ] {
        let adapter = with_limits(vec![plain(&registry.host())], limits);
        let fault = adapter.tags(&at(&registry.host(), REPOSITORY)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Limit);
        assert!(fault.text.contains(named), "{}", fault.text);
    }
}
