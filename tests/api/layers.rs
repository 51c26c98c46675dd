//! `src/plan` is pure and `src/api` knows no client: neither can read a clock, a socket or a random number.

use std::{
    fs,
    path::{Path, PathBuf},
};

use testkit::cluster;

/// Words that neither layer may hold.
const IMPURE: [&str; 14] = [
    "tokio",
    "reqwest",
    "rustls",
    "axum",
    "getrandom",
    "rand",
    "Instant",
    "SystemTime",
    "async",
    "await",
    "thread",
    "kube_client",
    "kube_runtime",
    "prometheus_client",
];
/// Modules of std and of this crate that neither may name.
const IMPURE_PATHS: [&str; 10] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::io",
    "::now(",
    "crate::c1",
    "crate::controller",
    "crate::runtime",
    "crate::telemetry",
];
/// What `src/api` may take from kube: the derive and what it needs.
const DERIVE: [&str; 2] = ["CustomResource", "CustomResourceExt"];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The code, without its comments and the texts in it.
fn code(source: &str) -> String {
    let mut code = String::new();
    for line in source.lines() {
        let mut in_text = false;
        let mut before = ' ';
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '"' if before != '\\' && before != '\'' => in_text = !in_text,
                '/' if !in_text && characters.peek() == Some(&'/') => break,
                _ if !in_text => code.push(character),
                _ => {}
            }
            before = if before == '\\' && character == '\\' { ' ' } else { character };
        }
        code.push('\n');
    }
    code
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

/// What is taken from `kube`, by paths and by `use kube::{…}`.
fn from_kube(code: &str) -> Vec<&str> {
    let uses = code
        .match_indices("kube::")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    uses.flat_map(|(at, found)| {
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                words(group.split_once('}').map_or(group, |(group, _)| group)).filter(|word| !word.is_empty()).collect()
            }
            None => words(rest).take(1).collect::<Vec<_>>(),
        }
    })
    .collect()
}

fn violations(layer: &str, source: &str) -> Vec<String> {
    let code = code(source);
    let mut found: Vec<String> = words(&code).filter(|word| IMPURE.contains(word)).map(str::to_owned).collect();
    found.extend(IMPURE_PATHS.iter().filter(|path| code.contains(*path)).map(|path| (*path).to_owned()));
    match layer {
        "plan" => found.extend(words(&code).filter(|word| *word == "kube").map(str::to_owned)),
        _ => found
            .extend(from_kube(&code).iter().filter(|name| !DERIVE.contains(name)).map(|name| format!("kube::{name}"))),
    }
    found
}

#[test]
fn plan_and_api_know_no_client_no_clock_and_no_randomness() {
    let mut wrong = Vec::new();
    for layer in ["plan", "api"] {
        let files = sources(&cluster::root().join("src").join(layer));
        assert!(files.len() >= 5, "src/{layer} is elsewhere now: {files:?}");
        for file in files {
            let found = violations(layer, &fs::read_to_string(&file).unwrap());
            wrong.extend(found.into_iter().map(|word| format!("{}: {word}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_search_for_impurities_finds_them() {
    for (layer, source, found) in [
        ("plan", "use tokio::time::sleep;", vec!["tokio"]),
        ("plan", "let t = Timestamp::now();", vec!["::now("]),
        ("plan", "use kube::ResourceExt;", vec!["kube"]),
        ("plan", "// tokio\nlet a = \"reqwest\"; // kube", vec![]),
        ("plan", "use k8s_openapi::Resource; let instants = 1;", vec![]),
        ("api", "use std::time::{Duration, Instant};", vec!["Instant"]),
        ("api", "use kube::{CustomResource, Client};", vec!["kube::Client"]),
        ("api", "#[kube(group = \"a\")] use kube::CustomResourceExt;", vec![]),
        ("api", "kube::runtime::watcher()", vec!["kube::runtime"]),
    ] {
        assert_eq!(violations(layer, source), found, "{source}");
    }
}
