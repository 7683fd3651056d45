//! What keeps data, on one data folder: the database, the objects, and the keys that all of it lies under.

use super::{compose::World, keys, metered::Metered, metrics::Metrics, secrets::Secrets};
use crate::{
    config::Loaded,
    failure::{Failure, Outcome},
};
use bailiwick_gate::Administrator;
use bailiwick_identity::{KeyRing, Rotation, RotationOptions, Sealing};
use bailiwick_ports::{Administration, Fronted, Keys, Objects, Store, Tasks};
use bailiwick_store::{DataFolder, FolderObjects, SqliteStore};
use bailiwick_types::Principal;
use std::{path::Path, sync::Arc};

/// What keeps data, on one data folder.
pub(super) struct Kept {
    pub folder: DataFolder,
    pub store: SqliteStore,
    pub metered: Arc<dyn Store>,
    pub metrics: Arc<Metrics>,
    pub keys: Arc<dyn Keys>,
    pub objects: Arc<dyn Objects>,
    ring: Arc<KeyRing>,
}

impl Kept {
    pub async fn open(data: &Path, loaded: &Loaded, secrets: &Secrets, world: &World) -> Outcome<Self> {
        // These errors say by themselves what cannot be done and why.
        fn failed(error: impl std::fmt::Display) -> Failure {
            Failure::failed(error.to_string())
        }
        let folder = DataFolder::open(data).map_err(failed)?;
        let kek = keys::open(folder.path(), &loaded.config.keys, secrets, &*world.random).await?;
        let ring = Arc::new(KeyRing::new(kek));
        let keys: Arc<dyn Keys> = Arc::new(Sealing::new(ring.clone(), Arc::clone(&world.random)));
        let objects: Arc<dyn Objects> = Arc::new(FolderObjects::open(folder.clone()).map_err(failed)?);
        let store = SqliteStore::open(bailiwick_store::Options::new(folder.clone())).await.map_err(failed)?;
        let metrics = Arc::new(Metrics::default());
        let metered: Arc<dyn Store> = Arc::new(Fronted::new(Arc::new(store.clone()), Metered(Arc::clone(&metrics))));
        Ok(Self { folder, store, metered, metrics, keys, ring, objects })
    }

    pub fn administration(&self, world: &World) -> Arc<dyn Administration> {
        let (store, keys, clock) = (Arc::clone(&self.metered), Arc::clone(&self.keys), Arc::clone(&world.clock));
        Arc::new(Administrator::new(store, keys, clock))
    }

    /// What replaces the key-encryption key while all of this works.
    pub fn rotation(&self, loaded: &Loaded, administration: &Arc<dyn Administration>, world: &World) -> Rotation {
        let random = Arc::clone(&world.random);
        RotationOptions {
            ring: Arc::clone(&self.ring),
            source: keys::source(self.folder.path(), &loaded.config.keys, Arc::clone(&random)),
            kept: Arc::new(self.store.clone()),
            store: Arc::clone(&self.metered),
            administration: Arc::clone(administration),
            clock: Arc::clone(&world.clock),
            random,
            tasks: Arc::clone(&world.tasks),
        }
        .build()
    }
}

/// Replaces the key-encryption key of a folder that no server uses. Gives how many keys were wrapped anew.
pub(super) async fn rotate(
    data: &Path,
    loaded: &Loaded,
    secrets: &Secrets,
    tasks: Arc<dyn Tasks>,
    reason: Option<&str>,
) -> Outcome<u64> {
    let world = World::real(tasks);
    let kept = Kept::open(data, loaded, secrets, &world).await?;
    let administration = kept.administration(&world);
    let done = kept.rotation(loaded, &administration, &world).perform(&Principal::Operator, reason).await;
    done.map_err(|error| Failure::failed(error.to_string()))
}
