//! The CRDs in the repository are those of the types.

use std::{collections::BTreeMap, fs, path::Path};

use testkit::cluster;

fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

#[test]
fn crds_are_generated() {
    let crds = c1_operator::api::crds().unwrap();
    let generated: BTreeMap<String, String> = crds
        .iter()
        .map(|crd| (format!("{}.yaml", crd.spec.names.plural), serde_saphyr::to_string(crd).unwrap()))
        .collect();
    assert_eq!(generated.len(), 3);
    for directory in ["crds", "charts/c1-operator/files/crds"] {
        // Not assert_eq: nobody wants to read both in full.
        assert!(
            files(&cluster::root().join(directory)) == generated,
            "{directory} is not what the types say: make crds"
        );
    }
}
