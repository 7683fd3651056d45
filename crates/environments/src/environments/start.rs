//! Starts environments, and finds them again.

use super::{
    Environments, Place,
    idle::{Full, Room},
    lock,
};
use crate::{
    client::ExecutorClient,
    connection::{Connector, HostedConnector, ListeningConnector},
    error::ExecutorError,
    hands::{Command, CommandRequest, Hands},
    marks,
    sandbox::{ENVIRONMENT, Found, Limits, State},
};
use bailiwick_core::{
    EnvironmentFacts, EnvironmentSpec, Failure, FailureCode,
    environment::{Connection, Hosted, OUTPUTS, SelfHosted, Size, WORKSPACE},
};
use bailiwick_gate::{Opened, Scope};
use bailiwick_types::{EnvironmentId, Millis};
use std::{collections::BTreeMap, future::pending, sync::Arc};

const MIB: u64 = 1024 * 1024;
/// What one set-up command may take.
const SETUP_TIMEOUT: Millis = Millis::from_secs(600);
const SETUP_OUTPUT_BYTES: usize = 4 * 1024;

fn limits(size: Size) -> Limits {
    let (memory, processes, cpu_millis) = match size {
        Size::Small => (512, 128, 1_000),
        Size::Medium => (1_024, 256, 2_000),
        Size::Large => (4_096, 1_024, 4_000),
    };
    Limits { memory_bytes: memory * MIB, processes, cpu_millis, ..Limits::default() }
}

fn sandbox_error(message: impl Into<String>) -> Failure {
    Failure::new(FailureCode::SandboxError, message)
}

/// What an executor's error means where nothing was done for the agent yet.
pub(super) fn connection_failure(error: &ExecutorError) -> Failure {
    let code = match error {
        ExecutorError::Incompatible(_) => FailureCode::ExecutorIncompatible,
        _ => FailureCode::SandboxError,
    };
    Failure::new(code, error.to_string())
}

/// The variables of every command in a sandbox: nothing of the server's own.
fn variables(extra: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> =
        ENVIRONMENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    variables.extend(extra.clone());
    variables
}

/// The hands for an executor that somebody else runs. Its commands start with the same few variables, but with the home
/// that the executor has.
fn own_hands(client: ExecutorClient, own: &SelfHosted) -> Hands {
    let home = client.session().and_then(|session| session.environment?.user_home_dir?.to_path().ok());
    let home = home.map_or_else(|| own.workspace_directory.clone(), |home| home.to_string_lossy().into_owned());
    Hands::new(client, variables(&BTreeMap::from([("HOME".to_owned(), home)])))
}

impl Environments {
    /// Performs `environment.start`: starts it, or finds the one that is there.
    pub(super) async fn start(&self, opened: &Opened, environment: EnvironmentId) -> Result<EnvironmentFacts, Failure> {
        let scope = opened.scope();
        let place = self.place(environment);
        let _starting = place.starting.lock().await;
        match &*scope.environment {
            EnvironmentSpec::Hosted(hosted) if hosted.id == environment => {
                self.start_hosted(&place, scope, hosted).await
            }
            EnvironmentSpec::SelfHosted(own) if own.id == environment => self.start_own(&place, scope, own).await,
            _ => Err(Failure::new(FailureCode::Internal, "the environment is not the session's")),
        }
    }

    async fn start_hosted(&self, place: &Place, scope: &Scope, hosted: &Hosted) -> Result<EnvironmentFacts, Failure> {
        let name = hosted.id.to_string();
        let sandboxes = &self.0.sandboxes;
        let _room = match sandboxes.find(&name) {
            Ok(Found::Running(_)) => None,
            _ => Some(self.room(&name).await?),
        };
        let state =
            sandboxes.launch(&name, &limits(hosted.size)).await.map_err(|error| sandbox_error(error.to_string()))?;
        let hands = match place.hands() {
            Some(hands) if hands.session_id().as_deref() == Some(&state.session) => hands,
            _ => self.connect_hosted(place, hosted, &state).await?,
        };
        if !sandboxes.is_prepared(&name) {
            self.prepare(&hands, scope, hosted).await?;
            sandboxes.mark_prepared(&name).map_err(|error| sandbox_error(error.to_string()))?;
        }
        Ok(facts(&hands, state.isolation, state.missing_limits))
    }

    /// Room for one sandbox more, for as long as what is given is kept.
    async fn room(&self, name: &str) -> Result<Room<'_>, Failure> {
        self.0.room(name).await.map_err(|full| match full {
            Full::InUse => sandbox_error(format!(
                "{} sandboxes are running, which is the limit, and each of them is in use or runs a command in the \
                 background: try again later, stop background commands, delete sessions that are over, or raise \
                 `[limits] sandboxes`",
                self.0.options.max_sandboxes
            )),
            Full::Unreadable(error) => sandbox_error(format!("the sandboxes that run cannot be counted: {error}")),
        })
    }

    async fn connect_hosted(&self, place: &Place, hosted: &Hosted, state: &State) -> Result<Arc<Hands>, Failure> {
        let connector = HostedConnector {
            sandboxes: self.0.sandboxes.clone(),
            name: hosted.id.to_string(),
            tasks: Arc::clone(&self.0.options.tasks),
        };
        let client = ExecutorClient::resume(Box::new(connector), state.session.clone(), self.tools()).await;
        let client = client.map_err(|error| connection_failure(&error))?;
        let mut variables = variables(&hosted.env);
        variables.insert("GIT_TEMPLATE_DIR".to_owned(), marks::TEMPLATES.to_owned());
        Ok(place.keep(Hands::new(client, variables)))
    }

    /// Lays files into a new sandbox and runs its set-up commands. Each command has a fixed id, so that one that ran
    /// before a crash is not run again.
    async fn prepare(&self, hands: &Hands, scope: &Scope, hosted: &Hosted) -> Result<(), Failure> {
        hands.create_folder(OUTPUTS).await.map_err(|error| connection_failure(&error))?;
        for file in &hosted.files {
            let bytes = self.0.options.archive.file(scope.tenant, file.file).await;
            let bytes = bytes.map_err(|error| sandbox_error(format!("file {} cannot be read: {error}", file.file)))?;
            hands.write(&file.path, &bytes).await.map_err(|error| {
                sandbox_error(format!("file {} cannot be laid to {}: {error}", file.file, file.path))
            })?;
        }
        for (index, command) in hosted.setup_commands.iter().enumerate() {
            let number = format!("set-up command {} of {}", index + 1, hosted.setup_commands.len());
            let request = CommandRequest {
                id: format!("setup-{index}"),
                made_at: self.0.options.clock.now(),
                command: Command::Shell(command.clone()),
                cwd: WORKSPACE.to_owned(),
                timeout: Some(SETUP_TIMEOUT),
                max_output_bytes: SETUP_OUTPUT_BYTES,
                variables: BTreeMap::new(),
            };
            let report = hands.run(&request, true, |_| (), pending()).await;
            let report = report.map_err(|error| sandbox_error(format!("{number}: {error}")))?;
            if report.exit_code != Some(0) {
                // Neither the command nor what it printed: both may hold what is not for everybody.
                let ended =
                    report.exit_code.map_or("was ended".to_owned(), |code| format!("ended with exit code {code}"));
                return Err(sandbox_error(format!("{number} {ended}")));
            }
        }
        Ok(())
    }

    async fn start_own(&self, place: &Place, scope: &Scope, own: &SelfHosted) -> Result<EnvironmentFacts, Failure> {
        let hands = match place.hands() {
            Some(hands) => hands,
            None => {
                let resume = scope.environment_facts.as_ref().and_then(|facts| facts.executor_session.clone());
                let client = ExecutorClient::connect(self.own_connector(place, own)?, resume, self.tools()).await;
                place.keep(own_hands(client.map_err(|error| connection_failure(&error))?, own))
            }
        };
        let folder = &own.workspace_directory;
        match hands.metadata(folder).await {
            Ok(found) if found.is_directory => Ok(facts(&hands, "self_hosted".to_owned(), Vec::new())),
            Ok(_) => Err(sandbox_error(format!("the workspace `{folder}` is not a folder in the environment"))),
            Err(error) if error.is_not_found() => {
                Err(sandbox_error(format!("the workspace folder `{folder}` is not there in the environment: make it")))
            }
            Err(error) => Err(connection_failure(&error)),
        }
    }

    fn own_connector(&self, place: &Place, own: &SelfHosted) -> Result<Box<dyn Connector>, Failure> {
        let options = &self.0.options;
        match &own.connection {
            Connection::DialIn => Ok(Box::new(place.connector())),
            Connection::Listen { executor } => {
                let known = options.executors.get(executor).ok_or_else(|| {
                    sandbox_error(format!("the server's configuration has no `[executors.{executor}]` (any more)"))
                })?;
                let connector = ListeningConnector::new(&known.url, known.token.clone(), Arc::clone(&options.tasks));
                Ok(Box::new(connector.map_err(sandbox_error)?))
            }
        }
    }

    /// The hands of an environment that was started before, by this server or the one before it. Begins nothing new.
    pub(super) async fn find(
        &self,
        opened: &Opened,
        environment: EnvironmentId,
    ) -> Result<(Arc<Place>, Arc<Hands>), Failure> {
        let scope = opened.scope();
        let place = self.place(environment);
        if let Some(hands) = place.hands() {
            return Ok((place, hands));
        }
        let starting = place.starting.lock().await;
        if let Some(hands) = place.hands() {
            drop(starting);
            return Ok((place, hands));
        }
        let session = scope.environment_facts.as_ref().and_then(|facts| facts.executor_session.clone());
        let session = session.ok_or_else(|| sandbox_error("the environment was not started"))?;
        let hands = match &*scope.environment {
            EnvironmentSpec::Hosted(hosted) if hosted.id == environment => {
                match self.0.sandboxes.find(&hosted.id.to_string()) {
                    Ok(Found::Running(state)) if state.session == session => {
                        self.connect_hosted(&place, hosted, &state).await?
                    }
                    Ok(_) => return Err(sandbox_error("the sandbox has ended, and what ran in it with it")),
                    Err(error) => return Err(sandbox_error(format!("the sandbox cannot be looked for: {error}"))),
                }
            }
            EnvironmentSpec::SelfHosted(own) if own.id == environment => {
                let client = ExecutorClient::resume(self.own_connector(&place, own)?, session, self.tools()).await;
                place.keep(own_hands(client.map_err(|error| connection_failure(&error))?, own))
            }
            _ => return Err(Failure::new(FailureCode::Internal, "the environment is not the session's")),
        };
        drop(starting);
        Ok((place, hands))
    }
}

impl Place {
    fn keep(&self, hands: Hands) -> Arc<Hands> {
        let hands = Arc::new(hands);
        *lock(&self.hands) = Some(Arc::clone(&hands));
        hands
    }
}

fn facts(hands: &Hands, isolation: String, missing_limits: Vec<String>) -> EnvironmentFacts {
    let session = hands.client().session();
    EnvironmentFacts {
        isolation,
        missing_limits,
        executor_session: session.as_ref().map(|session| session.id.clone()),
        executor_version: session.as_ref().and_then(|session| session.version().map(str::to_owned)),
    }
}
