//! `docs/reference/behaviour.md` names tests that exist.

use std::{fs, path::PathBuf};

use testkit::cluster;

#[test]
fn every_behaviour_has_its_test() {
    let root = cluster::root();
    let page = fs::read_to_string(root.join("docs/reference/behaviour.md")).unwrap();
    let makefile = fs::read_to_string(root.join("Makefile")).unwrap();
    let rows: Vec<_> = page.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | ")).skip(1).collect();
    assert!(rows.len() >= 50, "the table was read: {rows:?}");
    for (behaviour, names) in rows {
        // What stands between backquotes in the last column.
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{behaviour} | names no test");
        for name in names {
            match name.strip_prefix("make ") {
                Some(target) => assert!(makefile.contains(&format!("\n{target}:")), "{name} does not exist"),
                None => assert!(is_test(name), "{name} is no test that runs"),
            }
        }
    }
}

/// `module::test` of `tests/promises`, or `plan::module::test` of the crate: a function that says that it is a test, and
/// nothing else, in a file that is compiled.
fn is_test(name: &str) -> bool {
    let root = cluster::root();
    let (module, test) = name.rsplit_once("::").unwrap_or_else(|| panic!("{name} is no test of a module"));
    let path: PathBuf = module.split("::").collect();
    let places = [root.join("tests/promises").join(&path), root.join("src").join(&path)];
    let Some(file) = places.iter().map(|place| place.with_extension("rs")).find(|file| file.is_file()) else {
        panic!("{name}: there is no such file")
    };
    let directory = file.parent().unwrap();
    let parent =
        ["lib.rs", "main.rs", "mod.rs"].iter().map(|name| directory.join(name)).find(|parent| parent.is_file());
    let module = file.file_stem().unwrap().to_string_lossy().into_owned();
    let declared = fs::read_to_string(parent.unwrap()).unwrap().contains(&format!("mod {module};"));
    let source = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = |line: &str| ["fn", "async fn"].iter().any(|kind| line.starts_with(&format!("{kind} {test}()")));
    let attribute = lines.iter().position(|line| begins(line)).and_then(|at| lines.get(at.checked_sub(1)?));
    declared
        && !source.contains("#[ignore")
        && attribute.is_some_and(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
}
