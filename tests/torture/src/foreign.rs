//! What is not the operator's, between all that is (P4): Secrets that objects want to have and others own, and clients of the same
//! C1 user that people made, another cluster did, or a copy of this one.

use c1_operator::plan::digest;
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, Secret};
use kube::{Api, ResourceExt as _, api::PostParams};
use serde_json::json;
use testkit::{LedgerClient, Namespace, World};

use crate::stage::persist;

/// The object that wants a foreign Secret, and that Secret, in each namespace.
pub const BLOCKED: &str = "blocked";

/// All of it, as it was made.
pub struct Foreign {
    secrets: Vec<(Api<Secret>, Secret)>,
    clients: Vec<LedgerClient>,
}

impl Foreign {
    /// Makes it.
    pub async fn put(world: &World, namespaces: &[Namespace]) -> Self {
        let mut secrets = vec![];
        for namespace in namespaces {
            let secret =
                json!({"metadata": {"name": BLOCKED}, "stringData": {"clientId": "mine", "clientSecret": "hands off"}});
            let api = namespace.secrets();
            let secret = api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
            secrets.push((api, secret));
        }
        let system = Api::<KubeNamespace>::all(world.kube.clone()).get_metadata("kube-system").await.unwrap();
        let id = &digest(&[&system.uid().unwrap()])[..8];
        let (place, other) = (&namespaces[0].name, &namespaces[1].name);
        let mut clients = vec![];
        for name in [
            "made by hand".to_owned(),
            format!("elsewhere [k8s test-00000000/{place}/client-0 aaaaaaaaaaaaa]"),
            format!("a copy's [k8s test-{id}/{place}/client-0 aaaaaaaaaaaaa]"),
            format!("a copy's [k8s test-{id}/{other}/never-was aaaaaaaaaaaaa]"),
        ] {
            let made = world.c1.create_client(json!({"displayName": name})).await;
            clients.push(world.c1.client(&made.id).await.unwrap());
        }
        Self { secrets, clients }
    }

    /// Whether a client is one of these.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        self.clients.iter().any(|client| client.id == id)
    }

    /// What was touched of it.
    pub async fn touched(&self, world: &World) -> Vec<String> {
        let mut touched = vec![];
        for (api, before) in &self.secrets {
            let after = persist(async || api.get(BLOCKED).await).await;
            if after.as_ref().map(|secret| &secret.metadata.resource_version) != Some(&before.metadata.resource_version)
            {
                touched.push(format!("P4: Secret {}/{BLOCKED} was touched", before.namespace().unwrap_or_default()));
            }
        }
        for before in &self.clients {
            if world.c1.client(&before.id).await.as_ref() != Some(before) {
                touched.push(format!("P4: client {} ({}) was touched", before.id, before.display_name));
            }
        }
        touched
    }
}
