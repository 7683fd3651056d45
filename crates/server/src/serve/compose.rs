//! The composition root: every part of the house is made here, once, and handed what it needs.

use super::{
    audit::{CheckpointFile, DEFAULT_FILE},
    erasures::{DEFAULT_ERASURES, ErasureFile},
    feeds::{self, Feeds},
    identity::People,
    kept::Kept,
    metrics::Metrics,
    node,
    secrets::Secrets,
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
use bailiwick_gate::{Archive, Gate, Holds, Model, MoneyRules, Tools, Unpriced, Vault};
use bailiwick_identity::{LogKeys, OsRandom};
use bailiwick_mail::MailTools;
use bailiwick_mcp::{AccountParts, McpAccounts, McpHand, server as mcp_server};
use bailiwick_memory::Book;
use bailiwick_models::Models;
use bailiwick_outbound::Outbound;
use bailiwick_people::PeopleTools;
use bailiwick_policy::{Desk, DeskParts, Policies};
use bailiwick_ports::{
    Clock, ModelCards, Policy, PolicyDesk, Random, Store, Tasks, account::AccountDesk, memory::MemoryDesk,
    proof::Proofs, tokens::Tokens,
};
use bailiwick_store::{DataFolder, SqliteMemories, SqliteStore};
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
pub(super) struct World {
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub tasks: Arc<dyn Tasks>,
}

impl World {
    pub fn real(tasks: Arc<dyn Tasks>) -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(OsRandom), tasks }
    }
}

/// Everything that is made before the work begins, for whatever is made next.
struct Ground<'a> {
    loaded: &'a Loaded,
    world: &'a World,
    kept: &'a Kept,
    people: &'a People,
    models: &'a Arc<Models>,
}

/// What decides.
struct Rules {
    policy: Arc<dyn Policy>,
    desk: Arc<dyn PolicyDesk>,
    gate: Arc<Gate>,
}

/// What works, and what takes its traces away or proves them.
struct Works {
    archive: Archive,
    memories: Arc<dyn MemoryDesk>,
    environments: Environments,
    systems: Arc<Systems>,
    accounts: Arc<dyn AccountDesk>,
    audit: Audit,
    eraser: Eraser,
    engine: Engine,
}

impl House {
    pub async fn build(
        data: &Path,
        loaded: &Loaded,
        secrets: &Secrets,
        tasks: Arc<dyn Tasks>,
    ) -> Outcome<(Self, Engine)> {
        let world = World::real(tasks);
        let models = models(loaded, secrets, &world)?;
        let kept = Kept::open(data, loaded, secrets, &world).await?;
        let people = People::build(loaded, secrets, &kept, &world).await?;
        let models = Arc::new(models.with_vault(people.strongroom.clone()));
        let ground = Ground { loaded, world: &world, kept: &kept, people: &people, models: &models };
        let rules = ground.rules().await?;
        let works = ground.works(&rules).await?;
        let feeds = feeds::build(loaded, secrets, &kept.folder, &works.audit, &kept.metrics)?;
        let api = ground.api(&works, rules);
        let Works { environments, audit, eraser, engine, .. } = works;
        let Kept { folder, store, metrics, metered, .. } = kept;
        let (tenant, handle, tasks) = (people.tenant, engine.handle(), world.tasks);
        let house =
            Self { folder, store, metrics, tasks, tenant, api, environments, audit, eraser, feeds, metered, handle };
        Ok((house, engine))
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    pub fn metered(&self) -> Arc<dyn Store> {
        Arc::clone(&self.metered)
    }
}

impl Ground<'_> {
    fn cards(&self) -> Arc<dyn ModelCards> {
        Arc::clone(self.models) as Arc<dyn ModelCards>
    }

    async fn rules(&self) -> Outcome<Rules> {
        let Self { loaded, world, kept, people, .. } = self;
        let policies = Policies::new();
        let policy: Arc<dyn Policy> = Arc::new(policies.clone());
        let desk = DeskParts {
            policies,
            store: Arc::clone(&kept.metered),
            keys: Arc::clone(&kept.keys),
            administration: Arc::clone(&people.administration),
            directory: people.roster.clone(),
            cards: self.cards(),
            vaults: people.strongroom.clone(),
            clock: Arc::clone(&world.clock),
        };
        let desk = policy_desk(desk).await?;
        let (store, keys) = (Arc::clone(&kept.metered), Arc::clone(&kept.keys));
        let gate = Gate::new(store, keys, Arc::clone(&policy), Arc::clone(&world.clock));
        let gate = gate.with_cards(self.cards()).with_directory(people.roster.clone()).with_money(money(loaded));
        let gate = gate.with_vaults(people.strongroom.clone()).with_revocations(people.credentials.clone());
        let gate = Arc::new(gate);
        Ok(Rules { policy, desk, gate })
    }

    async fn works(&self, rules: &Rules) -> Outcome<Works> {
        let Self { loaded, world, kept, people, .. } = self;
        let node = node::id(kept.folder.path(), &*world.clock, &*world.random);
        let node = node.doing(|| "learn this node's id".to_owned())?;
        kept.metered.release_node(node).await.doing(|| "take over from the last run".to_owned())?;
        let archive = Archive::new(Arc::clone(&kept.metered), Arc::clone(&kept.keys), Arc::clone(&kept.objects));
        let environments = environments(loaded, &kept.folder, &archive, world)?;
        let systems = Arc::new(systems(loaded, world, people)?);
        let accounts = Arc::new(McpAccounts::new(AccountParts {
            outbound: outbound(loaded, None)?,
            vaults: people.strongroom.clone(),
            clock: Arc::clone(&world.clock),
            random: Arc::clone(&world.random),
            name: "Bailiwick".to_owned(),
        }));
        let audit = self.audit();
        let holds = Arc::new(Holds::new(Arc::clone(&kept.metered), Arc::clone(&kept.keys)));
        let memory = self.memory(&holds).await?;
        let engine = bailiwick_engine::Options {
            store: Arc::clone(&kept.metered),
            keys: Arc::clone(&kept.keys),
            gate: Arc::clone(&rules.gate),
            archive: archive.clone(),
            model: Arc::clone(self.models) as Arc<dyn Model>,
            executor: Arc::new(environments.clone()),
            tools: Arc::clone(&systems) as Arc<dyn Tools>,
            memory: Arc::new(memory.hand),
            cards: self.cards(),
            clock: Arc::clone(&world.clock),
            random: Arc::clone(&world.random),
            tasks: Arc::clone(&world.tasks),
            node,
            max_driven: loaded.config.limits.driven_sessions,
        }
        .build();
        let memories = memory.desk;
        let eraser = self.eraser(&engine.handle(), &audit, holds, Arc::clone(&memories));
        Ok(Works { archive, memories, environments, systems, accounts, audit, eraser, engine })
    }

    /// What is remembered between sessions, for agents and for people.
    async fn memory(&self, holds: &Arc<Holds>) -> Outcome<Memory> {
        let Self { world, kept, people, .. } = self;
        let entries = SqliteMemories::open(kept.folder.clone()).await;
        let entries = entries.map_err(|error| Failure::failed(error.to_string()))?;
        let (store, keys) = (Arc::clone(&kept.metered), Arc::clone(&kept.keys));
        let book = Book::new(Arc::new(entries), store, keys, Arc::clone(holds));
        let hand = bailiwick_memory::Hand::new(book.clone(), Arc::clone(&world.clock));
        let (clock, random) = (Arc::clone(&world.clock), Arc::clone(&world.random));
        let desk = bailiwick_memory::Desk::new(book, Arc::clone(&people.administration), clock, random);
        desk.catch_up().await.doing(|| "write the receipts of what was forgotten".to_owned())?;
        Ok(Memory { hand, desk: Arc::new(desk) })
    }

    /// What takes content away.
    fn eraser(&self, handle: &Handle, audit: &Audit, holds: Arc<Holds>, memories: Arc<dyn MemoryDesk>) -> Eraser {
        let Self { loaded, kept, people, .. } = self;
        let list = loaded.config.audit.erasures.clone().unwrap_or_else(|| kept.folder.path().join(DEFAULT_ERASURES));
        let days = loaded.config.retention.sessions_days;
        EraserOptions {
            handle: handle.clone(),
            holds,
            administration: Arc::clone(&people.administration),
            auditor: Arc::new(audit.clone()),
            vaults: people.strongroom.clone(),
            memories,
            list: Some(Arc::new(ErasureFile::new(list))),
            keep_sessions: days.map(|days| Millis::from_secs(u64::from(days) * 24 * 3600)),
        }
        .build()
    }

    /// The receipt log, which reads what the others write.
    fn audit(&self) -> Audit {
        let Self { loaded, world, kept, .. } = self;
        let second = loaded.config.audit.checkpoints.clone().unwrap_or_else(|| kept.folder.path().join(DEFAULT_FILE));
        bailiwick_audit::Options {
            store: Arc::clone(&kept.metered),
            log: Arc::new(kept.store.clone()),
            keys: Arc::clone(&kept.keys),
            signers: Arc::new(LogKeys::new(Arc::clone(&world.random))),
            cards: self.cards(),
            clock: Arc::clone(&world.clock),
            second_place: Some(Arc::new(CheckpointFile::new(second))),
        }
        .build()
    }

    fn api(&self, works: &Works, rules: Rules) -> Api {
        let Self { loaded, world, kept, people, .. } = self;
        let (roster, sign_ins) = (&people.roster, &people.sign_ins);
        bailiwick_api::Options {
            eraser: Some(works.eraser.clone()),
            handle: works.engine.handle(),
            store: Arc::clone(&kept.metered),
            keys: Arc::clone(&kept.keys),
            archive: works.archive.clone(),
            cards: self.cards(),
            policy: rules.policy,
            authenticator: Arc::new(people.reception()),
            key_desk: people.credentials.clone(),
            key_rotation: Some(Arc::new(kept.rotation(loaded, &people.administration, world))),
            tenants: people.credentials.clone(),
            directory: roster.clone(),
            people: roster.clone(),
            colleagues: roster.clone(),
            sign_in: sign_ins.clone(),
            tokens: people.issuer.clone().map(|issuer| issuer as Arc<dyn Tokens>),
            administration: Arc::clone(&people.administration),
            auditor: Arc::new(works.audit.clone()),
            connector_rooms: works.systems.clone(),
            toolset_protocol: Some(Arc::new(toolsets())),
            memories: Arc::clone(&works.memories),
            accounts: Some(Arc::clone(&works.accounts)),
            vaults: people.strongroom.clone(),
            receipts: Arc::new(kept.store.clone()),
            policy_desk: Some(rules.desk),
            executor_door: Some(Arc::new(works.environments.clone())),
            clock: Arc::clone(&world.clock),
            random: Arc::clone(&world.random),
            tasks: Arc::clone(&world.tasks),
            executors: loaded.config.executors.keys().cloned().collect(),
            public_url: loaded.config.server.public_url.clone(),
            limits: Limits::default(),
        }
        .build()
    }
}

/// What agents that are not run here speak to the tools of one that is kept here.
fn toolsets() -> mcp_server::Server {
    mcp_server::Server::new(mcp_server::ServerIdentity {
        name: "bailiwick".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instructions: None,
    })
}

/// What is remembered between sessions.
struct Memory {
    hand: bailiwick_memory::Hand,
    desk: Arc<dyn MemoryDesk>,
}

/// The one way out for requests to URLs that somebody names. Tokens that `proofs` knows go out with a proof.
fn outbound(loaded: &Loaded, proofs: Option<Arc<dyn Proofs>>) -> Outcome<Outbound> {
    let settings = &loaded.config.outbound;
    let extra_roots_pem = match &settings.extra_roots {
        None => None,
        Some(file) => Some(std::fs::read(file).doing(|| format!("read `[outbound] extra_roots`, {}", file.display()))?),
    };
    let open = settings.open.clone();
    Ok(Outbound::new(bailiwick_outbound::Options { open, extra_roots_pem, proofs, ..Default::default() }))
}

/// The rooms that reach a company's systems.
fn systems(loaded: &Loaded, world: &World, people: &People) -> Outcome<Systems> {
    let (vault, roster): (Arc<dyn Vault>, _) = (people.strongroom.clone(), people.roster.clone());
    let outbound = outbound(loaded, Some(people.proofs.clone()))?;
    let clock = || Arc::clone(&world.clock);
    let servers = McpHand::new(outbound.clone(), Arc::clone(&vault), clock());
    let services = bailiwick_services::Hand::new(outbound.clone(), Arc::clone(&vault), clock());
    let databases =
        bailiwick_databases::Hand::new(clock(), Arc::clone(&vault), roster.clone(), outbound.trust().clone());
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
