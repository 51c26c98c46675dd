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
/// What neither may take from std.
const IMPURE_STD: [&str; 5] = ["fs", "net", "env", "process", "io"];
/// Modules of this crate that neither may name.
const IMPURE_MODULES: [&str; 4] = ["controller::", "runtime::", "telemetry::", "leader::"];
/// What they may take from the client of C1: what a client is, and what is asked for; data, both.
const C1_DATA: [&str; 4] = ["Client", "CreateRequest", "Field", "UpdateRequest"];
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

/// What is taken from a module, by paths and by `use module::{…}`; `module` ends in `::`.
fn taken<'a>(code: &'a str, module: &str) -> Vec<&'a str> {
    let uses =
        code.match_indices(module).filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    uses.flat_map(|(at, found)| {
        let rest = &code[at + found.len()..];
        match rest.strip_prefix('{') {
            Some(inside) => words(group(inside)).filter(|word| !word.is_empty()).collect(),
            None => words(rest).take(1).collect::<Vec<_>>(),
        }
    })
    .collect()
}

/// Up to the brace that closes what was opened before `inside`.
fn group(inside: &str) -> &str {
    let mut depth = 1;
    let end = inside.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    end.map_or(inside, |end| &inside[..end])
}

fn violations(layer: &str, source: &str) -> Vec<String> {
    let code = code(source);
    let not = |module: &str, wrong: &dyn Fn(&str) -> bool| -> Vec<String> {
        taken(&code, module).into_iter().filter(|name| wrong(name)).map(|name| format!("{module}{name}")).collect()
    };
    let mut found: Vec<String> = words(&code).filter(|word| IMPURE.contains(word)).map(str::to_owned).collect();
    found.extend(code.contains("::now(").then(|| "::now(".to_owned()));
    found.extend(IMPURE_MODULES.iter().filter(|module| !taken(&code, module).is_empty()).map(|it| (*it).to_owned()));
    found.extend(not("std::", &|name| IMPURE_STD.contains(&name)));
    found.extend(not("c1::", &|name| !C1_DATA.contains(&name)));
    match layer {
        "plan" => found.extend(words(&code).filter(|word| *word == "kube").map(str::to_owned)),
        _ => found.extend(not("kube::", &|name| !DERIVE.contains(&name))),
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
        ("plan", "use std::{fmt::{self, Display}, fs};", vec!["std::fs"]),
        ("plan", "use crate::{api::Reason, c1::{Client, Session}};", vec!["c1::Session"]),
        ("plan", "use crate::{api::Reason, controller::Context};", vec!["controller::"]),
        ("plan", "use crate::c1::Client; let issuer_controller: u8;", vec![]),
        ("plan", "// tokio\nlet a = \"reqwest\"; // kube", vec![]),
        ("plan", "use k8s_openapi::Resource; let instants = 1;", vec![]),
        ("api", "use std::time::{Duration, Instant};", vec!["Instant"]),
        ("api", "use kube::{CustomResource, Client};", vec!["kube::Client"]),
        ("api", "#[kube(group = \"a\")] use kube::CustomResourceExt;", vec![]),
        ("api", "kube::runtime::watcher()", vec!["runtime::", "kube::runtime"]),
    ] {
        assert_eq!(violations(layer, source), found, "{source}");
    }
}
