//! The docs and the code name the same things.

use std::fs;

use c1_operator::api::Reason;
use testkit::cluster;

#[test]
fn every_reason_has_a_page() {
    let docs = cluster::root().join("docs");
    let index = fs::read_to_string(docs.join("reference/conditions.md")).unwrap();
    for reason in Reason::ALL {
        let page = fs::read_to_string(docs.join(format!("reasons/{reason}.md"))).unwrap_or_default();
        assert_eq!(page.lines().next(), Some(format!("# {reason}").as_str()), "docs/reasons/{reason}.md");
        let link = format!("(../reasons/{reason}.md)");
        assert!(index.contains(&link), "docs/reference/conditions.md does not link the page of {reason}");
    }
    for page in fs::read_dir(docs.join("reasons")).unwrap() {
        let page = page.unwrap().file_name().into_string().unwrap();
        assert!(Reason::ALL.iter().any(|reason| page == format!("{reason}.md")), "docs/reasons/{page}: no such reason");
    }
}
