//! smoke
use std::time::Instant;
use testkit::*;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let t = Instant::now();
    let mut world = World::start("smoke", Options::default()).await;
    println!("start {:?}", t.elapsed());
    let ns = world.namespace("a").await;
    ns.create("x", json!({})).await;
    ns.ready("x").await;
    println!("ready {:?}", t.elapsed());
    let secret = ns.secret("x").await.unwrap();
    println!("{secret:?} {:?}", ns.events("x").await);
    assert!(world.c1.login(&secret).await);
    assert!(!world.c1.login_secret(secret.client_id(), &secret.client_secret().replace("a","b")).await);
    println!("{:?}", world.operator_writes());
    world.restart_operator(Some("after-Create")).await;
    ns.create("y", json!({})).await;
    assert!(world.operator.killed().await);
    world.restart_operator(None).await;
    ns.ready("y").await;
    println!("ready {:?}", t.elapsed());
    world.c1.kill().await;
    ns.create("z", json!({})).await;
    ns.reason("z", c1_operator::api::Reason::Unreachable).await;
    world.c1.start().await;
    ns.ready("z").await;
    println!("{:?}", world.c1.live().await.len());
    println!("rss {} {:?}", world.operator.rss_kib(), world.operator.metric("c1_operator_x", &[]).await);
    println!("{:?}", world.c1.requests().await);
    println!("done {:?}", t.elapsed());
    world.finish().await;
    println!("finish {:?}", t.elapsed());
}
