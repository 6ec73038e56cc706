//! What others do to mirrored objects is put right, without a commit.

use crate::shop::{Shop, WEB_IMAGE, image, said, until};
use tagboat_testkit::{Change, NewCommit};

const SETTINGS: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: shop}\ndata: {colour: blue}\n";
const SHELF: &str = "apiVersion: shop.example.com/v1\nkind: Shelf\nmetadata: {name: oak, namespace: shop}\nspec: {}\n";

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_others_change_or_delete_come_back() {
    let shop = Shop::new().await;
    let files = [("shop/settings.yaml", SETTINGS), ("shop/shelf.yaml", SHELF)];
    let changes = files.map(|(path, text)| Change { path, content: Some(text.as_bytes()) });
    shop.place.repository.commit("main", &NewCommit::new("Furnish the shop", changes.to_vec())).unwrap();
    let controller = shop.start().await;
    shop.settled(&controller, "main-1", "main-1").await;
    let (cluster, head) = (&shop.place.cluster, shop.head());

    let merge = |patch: &'static str| ["-n", "shop", "--type", "merge", "-p", patch];
    let by_hand = ["patch", "configmap", "settings"].into_iter().chain(merge("{\"data\":{\"colour\":\"red\"}}"));
    cluster.kubectl(&by_hand.collect::<Vec<_>>()).await.unwrap();
    cluster.kubectl(&["delete", "deployment", "web", "-n", "shop"]).await.unwrap();
    // What was not served comes to be served.
    cluster.kubectl_with(&["create", "-f", "-"], crate::bad_input::CRD.as_bytes()).await.unwrap();

    let get = async |kind: &str, name: &str, path: &str| {
        cluster.kubectl(&["get", kind, name, "-n", "shop", "-o", &format!("jsonpath={path}")]).await.unwrap_or_default()
    };
    until("all is as git has it", &controller, async || {
        let seen = (
            get("configmap", "settings", "{.data.colour}").await,
            get("deployment", "web", "{.spec.template.spec.containers[0].image}").await,
            get("shelves.shop.example.com", "oak", "{.metadata.name}").await,
        );
        let wanted = ("blue".to_owned(), image(WEB_IMAGE, "main-1"), "oak".to_owned());
        if seen == wanted { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    shop.settled(&controller, "main-1", "main-1").await;
    assert_eq!(shop.head(), head);
    assert_eq!(said(&controller, "applied ConfigMap shop/settings"), 2, "once at first and once again");
    let status = controller.status().await.unwrap();
    assert_eq!(status["sources"][0]["problems"], serde_json::json!([]), "{status:#}");
    controller.stop().await.unwrap();
}
