//! The operator's process as a rendered Deployment wants it.

use std::{collections::BTreeMap, env, fs, path::Path};

use kube::Client;
use serde_json::Value;

use crate::{Operator, cluster};

/// The process that the kubelet would make of the rendered Deployment, with a token of its ServiceAccount. Not started yet.
pub async fn operator(client: &Client, objects: &[Value], listen: &str, dir: &Path) -> Operator {
    fs::create_dir_all(dir).unwrap();
    let deployment = cluster::rendered(objects, "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let account = pod["serviceAccountName"].as_str().unwrap();
    let kubeconfig = dir.join("operator.kubeconfig");
    cluster::kubeconfig_of(client, account, &kubeconfig).await;
    let container = &pod["containers"][0];
    let args: Vec<String> =
        container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap().to_owned()).collect();
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), env::var("PATH").unwrap_or_default()),
        ("KUBECONFIG".to_owned(), kubeconfig.to_str().unwrap().to_owned()),
    ]);
    for variable in container["env"].as_array().into_iter().flatten() {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            None => variable["value"].as_str(),
            Some("metadata.namespace") => deployment["metadata"]["namespace"].as_str(),
            Some("metadata.name") => deployment["metadata"]["name"].as_str(),
            Some("spec.serviceAccountName") => Some(account),
            Some(_) => None,
        };
        let value = value.unwrap_or_else(|| panic!("cannot stand in for the kubelet with {variable}"));
        env.insert(variable["name"].as_str().unwrap().to_owned(), value.to_owned());
    }
    Operator::new(listen, args, env, dir)
}
