//! The composition root: every part of the house is made here, once, and handed what it needs.

use super::{
    audit::{CheckpointFile, DEFAULT_FILE},
    erasures::{DEFAULT_ERASURES, ErasureFile},
    feeds::{self, Feeds},
    identity, keys,
    metered::Metered,
    metrics::Metrics,
    node,
    secrets::{BOOTSTRAP_KEY, Secrets},
    systems::Systems,
};
use crate::{
    config::{self, ConfigError, Loaded},
    failure::{Doing as _, Failure, Outcome},
    files,
    runtime::SystemClock,
};
use bailiwick_api::{Api, Limits};
use bailiwick_audit::Audit;
use bailiwick_core::ConnectorKind;
use bailiwick_documents::DocumentTools;
use bailiwick_engine::{Engine, Eraser, EraserOptions, Handle};
use bailiwick_environments::{Environments, ListeningExecutor, Patience};
use bailiwick_gate::{Administrator, Archive, Gate, Holds, Model, MoneyRules, Tools, Unpriced, Vault};
use bailiwick_identity::{Bootstrapped, Credentials, LogKeys, OsRandom, Reception, Roster, Sealing, Strongroom};
use bailiwick_mail::MailTools;
use bailiwick_mcp::McpHand;
use bailiwick_models::Models;
use bailiwick_outbound::Outbound;
use bailiwick_people::PeopleTools;
use bailiwick_policy::{Desk, DeskParts, Policies};
use bailiwick_ports::tokens::Tokens;
use bailiwick_ports::{
    Administration, Clock, Fronted, KeyDesk, Keys, ModelCards, Objects, Policy, PolicyDesk, Random, Store, Tasks,
    TenantDesk, VaultDesk,
};
use bailiwick_store::{DataFolder, FolderObjects, SqliteStore};
use bailiwick_types::{Millis, Secret, TenantId};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// A token is one short line.
const MAX_TOKEN: u64 = 16 * 1024;

/// The parts that outlive the start.
pub(crate) struct House {
    pub folder: DataFolder,
    pub store: SqliteStore,
    pub metrics: Arc<Metrics>,
    pub tasks: Arc<dyn Tasks>,
    pub tenant: TenantId,
    pub api: Api,
    pub environments: Environments,
    pub audit: Audit,
    pub eraser: Eraser,
    pub feeds: Feeds,
    metered: Arc<dyn Store>,
    handle: Handle,
}

/// What the world is to every part.
struct World {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    tasks: Arc<dyn Tasks>,
}

/// What keeps data, on one data folder.
struct Kept {
    folder: DataFolder,
    store: SqliteStore,
    metered: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    keys: Arc<dyn Keys>,
    objects: Arc<dyn Objects>,
}

impl Kept {
    async fn open(data: &Path, loaded: &Loaded, secrets: &Secrets, world: &World) -> Outcome<Self> {
        // These errors say by themselves what cannot be done and why.
        fn failed(error: impl std::fmt::Display) -> Failure {
            Failure::failed(error.to_string())
        }
        let folder = DataFolder::open(data).map_err(failed)?;
        let kek = keys::open(folder.path(), &loaded.config.keys, secrets, &*world.random).await?;
        let keys: Arc<dyn Keys> = Arc::new(Sealing::new(Arc::new(kek), Arc::clone(&world.random)));
        let objects: Arc<dyn Objects> = Arc::new(FolderObjects::open(folder.clone()).map_err(failed)?);
        let store = SqliteStore::open(bailiwick_store::Options::new(folder.clone())).await.map_err(failed)?;
        let metrics = Arc::new(Metrics::default());
        let metered: Arc<dyn Store> = Arc::new(Fronted::new(Arc::new(store.clone()), Metered(Arc::clone(&metrics))));
        Ok(Self { folder, store, metered, metrics, keys, objects })
    }
}

impl House {
    pub async fn build(
        data: &Path,
        loaded: &Loaded,
        secrets: &Secrets,
        tasks: Arc<dyn Tasks>,
    ) -> Outcome<(Self, Engine)> {
        let world = World { clock: Arc::new(SystemClock), random: Arc::new(OsRandom), tasks };
        let models = models(loaded, secrets, &world)?;
        let Kept { folder, store, metered, metrics, keys, objects } = Kept::open(data, loaded, secrets, &world).await?;
        let administration: Arc<dyn Administration> =
            Arc::new(Administrator::new(Arc::clone(&metered), Arc::clone(&keys), Arc::clone(&world.clock)));
        let credentials = Arc::new(Credentials::new(
            Arc::clone(&metered),
            Arc::clone(&keys),
            Arc::clone(&administration),
            Arc::clone(&world.clock),
            Arc::clone(&world.random),
        ));
        let tenant = credentials.bootstrap_tenant().await.doing(|| "prepare the data folder".to_owned())?.id;
        bootstrap_key(&credentials, tenant, secrets).await?;
        let ground = identity::Ground {
            store: Arc::clone(&metered),
            keys: Arc::clone(&keys),
            administration: Arc::clone(&administration),
            clock: Arc::clone(&world.clock),
            random: Arc::clone(&world.random),
        };
        let (roster, sign_ins, issuer) = identity::build(loaded, secrets, tenant, ground).await?;
        let strongroom = strongroom(&metered, &keys, &administration, &world).await?;
        let models = Arc::new(models.with_vault(strongroom.clone()));
        let node =
            node::id(folder.path(), &*world.clock, &*world.random).doing(|| "learn this node's id".to_owned())?;
        metered.release_node(node).await.doing(|| "take over from the last run".to_owned())?;

        let policies = Policies::new();
        let policy: Arc<dyn Policy> = Arc::new(policies.clone());
        let cards: Arc<dyn ModelCards> = models.clone();
        let desk = DeskParts {
            policies,
            store: Arc::clone(&metered),
            keys: Arc::clone(&keys),
            administration: Arc::clone(&administration),
            directory: roster.clone(),
            cards: Arc::clone(&cards),
            vaults: strongroom.clone(),
            clock: Arc::clone(&world.clock),
        };
        let desk = policy_desk(desk).await?;
        let gate = Gate::new(Arc::clone(&metered), Arc::clone(&keys), Arc::clone(&policy), Arc::clone(&world.clock));
        let gate = gate.with_cards(Arc::clone(&cards)).with_directory(roster.clone()).with_money(money(loaded));
        let gate = gate.with_vaults(strongroom.clone()).with_revocations(credentials.clone());
        let gate = Arc::new(gate);
        let archive = Archive::new(Arc::clone(&metered), Arc::clone(&keys), objects);
        let environments = environments(loaded, &folder, &archive, &world)?;
        let systems = Arc::new(systems(loaded, &world, strongroom.clone(), roster.clone())?);
        let audit = audit(loaded, &folder, &store, &metered, &keys, &cards, &world);
        let engine = bailiwick_engine::Options {
            store: Arc::clone(&metered),
            keys: Arc::clone(&keys),
            gate,
            archive: archive.clone(),
            model: models as Arc<dyn Model>,
            executor: Arc::new(environments.clone()),
            tools: Arc::clone(&systems) as Arc<dyn Tools>,
            cards: Arc::clone(&cards),
            clock: Arc::clone(&world.clock),
            random: Arc::clone(&world.random),
            tasks: Arc::clone(&world.tasks),
            node,
            max_driven: loaded.config.limits.driven_sessions,
        }
        .build();
        let handle = engine.handle();
        let eraser = eraser(loaded, &folder, &handle, &administration, &audit, (&metered, &keys), strongroom.clone());
        let feeds = feeds::build(loaded, secrets, &folder, &audit, &metrics)?;
        let api = bailiwick_api::Options {
            eraser: Some(eraser.clone()),
            handle: handle.clone(),
            store: Arc::clone(&metered),
            keys,
            archive,
            cards,
            policy,
            authenticator: Arc::new(Reception {
                credentials: Arc::clone(&credentials),
                sign_ins: Arc::clone(&sign_ins),
                issuer: issuer.clone(),
            }),
            key_desk: Arc::clone(&credentials) as Arc<dyn KeyDesk>,
            tenants: credentials as Arc<dyn TenantDesk>,
            directory: roster.clone(),
            people: roster.clone(),
            colleagues: roster,
            sign_in: sign_ins,
            tokens: issuer.map(|issuer| issuer as Arc<dyn Tokens>),
            administration,
            auditor: Arc::new(audit.clone()),
            connector_rooms: systems,
            vaults: strongroom,
            receipts: Arc::new(store.clone()),
            policy_desk: Some(desk),
            executor_door: Some(Arc::new(environments.clone())),
            clock: world.clock,
            random: world.random,
            tasks: Arc::clone(&world.tasks),
            executors: loaded.config.executors.keys().cloned().collect(),
            public_url: loaded.config.server.public_url.clone(),
            limits: Limits::default(),
        }
        .build();
        let tasks = world.tasks;
        Ok((
            Self { folder, store, metrics, tasks, tenant, api, environments, audit, eraser, feeds, metered, handle },
            engine,
        ))
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub fn metered(&self) -> Arc<dyn Store> {
        Arc::clone(&self.metered)
    }
}

/// The rooms that reach a company's systems.
fn systems(loaded: &Loaded, world: &World, vault: Arc<dyn Vault>, roster: Arc<Roster>) -> Outcome<Systems> {
    let settings = &loaded.config.outbound;
    let extra_roots_pem = match &settings.extra_roots {
        None => None,
        Some(file) => Some(std::fs::read(file).doing(|| format!("read `[outbound] extra_roots`, {}", file.display()))?),
    };
    let options = bailiwick_outbound::Options { open: settings.open.clone(), extra_roots_pem, ..Default::default() };
    let outbound = Outbound::new(options);
    let clock = || Arc::clone(&world.clock);
    let servers = McpHand::new(outbound.clone(), Arc::clone(&vault), clock());
    let services = bailiwick_services::Hand::new(outbound.clone(), Arc::clone(&vault), clock());
    let databases = bailiwick_databases::Hand::new(clock(), Arc::clone(&vault), roster.clone());
    let mail = MailTools::new(clock(), Arc::clone(&vault), roster.clone(), outbound.clone());
    let documents = DocumentTools::new(clock(), vault, roster.clone(), outbound);
    Ok(Systems::new(clock())
        .with(&[ConnectorKind::Mcp], Arc::new(servers))
        .with(&[ConnectorKind::Openapi, ConnectorKind::Web], Arc::new(services))
        .with(&[ConnectorKind::Database], Arc::new(databases))
        .with(&[ConnectorKind::Mail, ConnectorKind::Calendar], Arc::new(mail))
        .with(&[ConnectorKind::Documents], Arc::new(documents))
        .with(&[ConnectorKind::People], Arc::new(PeopleTools::new(clock(), roster))))
}

/// The vaults, as far as they are known without opening a secret.
async fn strongroom(
    store: &Arc<dyn Store>,
    keys: &Arc<dyn Keys>,
    administration: &Arc<dyn Administration>,
    world: &World,
) -> Outcome<Arc<Strongroom>> {
    let (store, keys, administration) = (Arc::clone(store), Arc::clone(keys), Arc::clone(administration));
    let room = Strongroom::load(store, keys, administration, Arc::clone(&world.clock), Arc::clone(&world.random));
    Ok(Arc::new(room.await.doing(|| "read the vaults".to_owned())?))
}

/// The published models, with the keys that the environment held.
fn models(loaded: &Loaded, secrets: &Secrets, world: &World) -> Outcome<Models> {
    let mut options = bailiwick_models::Options { models: loaded.config.models.clone() };
    for (name, model) in &mut options.models {
        let Some(variable) = &model.api_key_env else { continue };
        model.api_key = secrets.get(variable).cloned();
        if model.api_key.is_none() {
            let problem = format!("the environment variable `{variable}` is not set; put the model's key into it");
            let error = bailiwick_models::OptionsError { model: name.clone(), field: "api_key_env", problem };
            return Err(wrong_configuration(&loaded.model_error(&error)));
        }
    }
    Models::new(&options, Arc::clone(&world.clock), Arc::clone(&world.random))
        .map_err(|error| wrong_configuration(&loaded.model_error(&error)))
}

/// The desk for policies, with every tenant's own in force before anything is decided.
async fn policy_desk(parts: DeskParts) -> Outcome<Arc<dyn PolicyDesk>> {
    let desk = Desk::new(parts);
    desk.load().await.doing(|| "put the stored policies in force".to_owned())?;
    Ok(Arc::new(desk))
}

/// What takes content away.
fn eraser(
    loaded: &Loaded,
    folder: &DataFolder,
    handle: &Handle,
    administration: &Arc<dyn Administration>,
    audit: &Audit,
    (metered, keys): (&Arc<dyn Store>, &Arc<dyn Keys>),
    vaults: Arc<dyn VaultDesk>,
) -> Eraser {
    let list = loaded.config.audit.erasures.clone().unwrap_or_else(|| folder.path().join(DEFAULT_ERASURES));
    let days = loaded.config.retention.sessions_days;
    EraserOptions {
        handle: handle.clone(),
        holds: Arc::new(Holds::new(Arc::clone(metered), Arc::clone(keys))),
        administration: Arc::clone(administration),
        auditor: Arc::new(audit.clone()),
        vaults,
        list: Some(Arc::new(ErasureFile::new(list))),
        keep_sessions: days.map(|days| Millis::from_secs(u64::from(days) * 24 * 3600)),
    }
    .build()
}

/// The receipt log, which reads what the others write.
fn audit(
    loaded: &Loaded,
    folder: &DataFolder,
    store: &SqliteStore,
    metered: &Arc<dyn Store>,
    keys: &Arc<dyn Keys>,
    cards: &Arc<dyn ModelCards>,
    world: &World,
) -> Audit {
    let second = loaded.config.audit.checkpoints.clone().unwrap_or_else(|| folder.path().join(DEFAULT_FILE));
    bailiwick_audit::Options {
        store: Arc::clone(metered),
        log: Arc::new(store.clone()),
        keys: Arc::clone(keys),
        signers: Arc::new(LogKeys::new(Arc::clone(&world.random))),
        cards: Arc::clone(cards),
        clock: Arc::clone(&world.clock),
        second_place: Some(Arc::new(CheckpointFile::new(second))),
    }
    .build()
}

fn money(loaded: &Loaded) -> MoneyRules {
    let money = &loaded.config.money;
    let unpriced = match money.unpriced {
        config::Unpriced::Refuse => Unpriced::Refuse,
        config::Unpriced::Warn => Unpriced::Warn,
    };
    let tools = loaded.config.tools.iter().map(|(name, tool)| (name.clone(), tool.price)).collect();
    MoneyRules { currency: money.currency.clone(), unpriced, tools }
}

pub(super) fn wrong_configuration(error: &ConfigError) -> Failure {
    Failure::usage(error.to_string()).help("every key is described in docs/configuration.md")
}

/// What acts in environments: sandboxes below the data folder, and the executors of the configuration.
fn environments(loaded: &Loaded, folder: &DataFolder, archive: &Archive, world: &World) -> Outcome<Environments> {
    let mut executors = BTreeMap::new();
    for (name, executor) in &loaded.config.executors {
        let token = token(&executor.token_file)?;
        executors.insert(name.clone(), ListeningExecutor { url: executor.url.clone(), token });
    }
    let program = std::env::current_exe().doing(|| "find this program's own file".to_owned())?;
    bailiwick_environments::Options {
        sandboxes: folder.path().join("sandboxes"),
        program,
        max_sandboxes: loaded.config.limits.sandboxes,
        idle_limit: Millis(loaded.config.limits.sandbox_idle_ms),
        executors,
        archive: archive.clone(),
        clock: Arc::clone(&world.clock),
        random: Arc::clone(&world.random),
        tasks: Arc::clone(&world.tasks),
        patience: Patience::default(),
    }
    .build()
    .map_err(|error| wrong_configuration(&loaded.executor_error(&error.executor, &error.problem)))
}

async fn bootstrap_key(credentials: &Credentials, tenant: TenantId, secrets: &Secrets) -> Outcome {
    let Some(value) = secrets.get(BOOTSTRAP_KEY) else { return Ok(()) };
    let done = credentials.bootstrap_api_key(tenant, value).await;
    match done.map_err(|error| Failure::usage(format!("{BOOTSTRAP_KEY}: {error}")))? {
        Bootstrapped::Created(key) => tracing::info!(key = %key.id, "made the administrator key of {BOOTSTRAP_KEY}"),
        Bootstrapped::Kept(key) => tracing::info!(key = %key.id, "the key of {BOOTSTRAP_KEY} is there already"),
        Bootstrapped::Ignored => {
            tracing::warn!("{BOOTSTRAP_KEY} is ignored: it counts at the first start only, and there are keys already");
        }
    }
    Ok(())
}

/// The capability token of a listening executor.
fn token(file: &Path) -> Outcome<Secret> {
    let bytes = files::read_bounded(file, MAX_TOKEN).map_err(|error| {
        Failure::usage(format!("the executor's token file `{}` cannot be read: {error}", file.display()))
    })?;
    let text = String::from_utf8(bytes).unwrap_or_default();
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(format!(
            "the executor's token file `{}` does not hold one word of text",
            file.display()
        )));
    }
    Ok(Secret::new(token))
}
