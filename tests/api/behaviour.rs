//! `docs/reference/behaviour.md` names tests that exist.

use std::fs;

use testkit::cluster;

#[test]
fn every_behaviour_has_its_test() {
    let root = cluster::root();
    let page = fs::read_to_string(root.join("docs/reference/behaviour.md")).unwrap();
    // What stands between backquotes in the last column.
    let named: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | "))
        .flat_map(|(_, names)| names.split('`').skip(1).step_by(2))
        .collect();
    assert!(named.len() >= 15, "the table was read: {named:?}");
    let makefile = fs::read_to_string(root.join("Makefile")).unwrap();
    for name in named {
        if let Some(target) = name.strip_prefix("make ") {
            assert!(makefile.contains(&format!("\n{target}:")), "{name} does not exist");
            continue;
        }
        let (module, test) = name.split_once("::").unwrap_or_else(|| panic!("{name} is no test of a module"));
        let file = root.join(format!("tests/promises/{module}.rs"));
        let source = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(source.contains(&format!("async fn {test}()")), "{name} does not exist");
    }
}
