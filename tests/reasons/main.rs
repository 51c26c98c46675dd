//! Every reason is produced by some test. It reads what the suites wrote down, so it runs after them.

use std::{collections::BTreeSet, fs};

use c1_operator::api::Reason;
use testkit::recorder::reasons_file;

#[test]
fn every_reason_was_produced_by_a_test() {
    let file = reasons_file();
    let text = fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make test-promises` first", file.display()));
    let seen: BTreeSet<&str> = text.lines().collect();
    let missing: Vec<&str> =
        Reason::ALL.iter().map(|reason| reason.as_str()).filter(|reason| !seen.contains(reason)).collect();
    assert!(
        missing.is_empty(),
        "no test produced {missing:?}: run `make test-promises` first; if they are still missing, tests are ({})",
        file.display()
    );
}
