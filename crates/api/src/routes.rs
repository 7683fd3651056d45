//! Every route there is, in one table: the router, the OpenAPI document and the test of who may call what are all made
//! of it.

use crate::{
    app::{App, Call, SyncBody, Visit},
    auth,
    error::ApiError,
    handlers::{
        agents, approvals, artifacts, audit, budgets, catalogue, connections, connectors, encryption_keys,
        environment_files, environments, events, executors, files, grants, history, holds, keys, memories, models,
        people, policy, policy_simulation, receipts, sessions, sign_in, skills, spend, stops, teams, tenants, tokens,
        toolsets, unbuilt, vaults,
    },
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts, RawPathParams, Request},
    http::{HeaderValue, Method, request::Parts},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use bailiwick_ports::{Caller, Scope};
use bailiwick_types::{Mark, Principal};
use std::{pin::Pin, sync::Arc};
use tracing::{
    Instrument, Span,
    field::{Empty, display},
};

pub(crate) type Answer = Result<Response, ApiError>;
type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// One route.
pub struct Route {
    /// In capitals.
    pub method: &'static str,
    /// Below its area, with `{names}`.
    pub path: &'static str,
    pub area: Area,
    pub need: Need,
    /// Its name in the OpenAPI document.
    pub operation: &'static str,
    pub summary: &'static str,
    /// `false`: it answers 501.
    pub built: bool,
    handler: Handler,
}

/// What a route asks of whoever calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: signing in.
    Nothing,
    /// To be known.
    Known,
    /// To be known and to have this scope.
    Scope(Scope),
}

impl Need {
    /// As the OpenAPI document and the list of who may call what write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Known => "known",
            Self::Scope(scope) => scope.name(),
        }
    }
}

/// A route for somebody who is not known gets no caller, so that it cannot mistake one.
#[derive(Clone, Copy)]
enum Handler {
    Known(fn(Call) -> Pending),
    Open(fn(Visit) -> Pending),
}

/// Where routes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// The official API.
    Agents,
    /// What we add.
    Bailiwick,
    /// Where OAuth clients look (RFC 8414).
    WellKnown,
    /// Where agents that are not run here find tools.
    Toolsets,
    /// Where executors register; the base is what a session shows as `remote_url`.
    Executors,
}

impl Area {
    /// The prefixes under which its routes answer.
    pub fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::Agents => &["/v1", "/openai/v1"],
            Self::Bailiwick => &["/bailiwick/v1"],
            Self::WellKnown => &["/.well-known"],
            Self::Toolsets => &["/mcp"],
            Self::Executors => &[""],
        }
    }
}

macro_rules! routes {
    ($($area:ident $method:ident $path:literal $scope:ident $operation:ident $module:ident::$function:ident, $summary:literal;)*) => {
        pub static ROUTES: &[Route] = &[$(Route {
            method: stringify!($method),
            path: $path,
            area: Area::$area,
            need: need!($scope),
            operation: stringify!($operation),
            summary: $summary,
            built: !is(stringify!($module), "unbuilt"),
            handler: handler!($scope $module::$function),
        },)*];
    };
}

/// `Nothing`, `Known`, or a scope.
macro_rules! need {
    (Nothing) => {
        Need::Nothing
    };
    (Known) => {
        Need::Known
    };
    ($scope:ident) => {
        Need::Scope(Scope::$scope)
    };
}

macro_rules! handler {
    (Nothing $module:ident::$function:ident) => {
        Handler::Open(|visit| Box::pin($module::$function(visit)))
    };
    ($scope:ident $module:ident::$function:ident) => {
        Handler::Known(|call| Box::pin($module::$function(call)))
    };
}

/// Whether two names are the same, while the table is made.
const fn is(name: &str, other: &str) -> bool {
    let (name, other) = (name.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < name.len() && at < other.len() && name[at] == other[at] {
        at += 1;
    }
    at == name.len() && at == other.len()
}

routes! {
    Agents POST "/agents" AgentsWrite create_agent agents::create, "Saves a new agent.";
    Agents GET "/agents" AgentsRead list_agents agents::list, "Lists saved agents.";
    Agents GET "/agents/{agent_id}" AgentsRead get_agent agents::get, "Shows a saved agent.";
    Agents POST "/agents/{agent_id}" AgentsWrite update_agent agents::update, "Writes the next version of a saved agent.";
    Agents DELETE "/agents/{agent_id}" AgentsWrite delete_agent agents::delete, "Deletes a saved agent; its sessions go on.";

    Agents POST "/agents/sessions" SessionsWrite create_session sessions::create, "Begins a session; with `stream` answers with its events.";
    Agents GET "/agents/sessions" SessionsRead list_sessions sessions::list, "Lists sessions.";
    Agents GET "/agents/sessions/{session_id}" SessionsRead get_session sessions::get, "Shows a session.";
    Agents POST "/agents/sessions/{session_id}" SessionsWrite update_session sessions::update, "Changes a session.";
    Agents DELETE "/agents/sessions/{session_id}" SessionsWrite delete_session sessions::delete, "Deletes a session and stops its work.";
    Agents POST "/agents/sessions/{session_id}/events" SessionsWrite create_session_events events::create, "Gives a session its next inputs.";
    Agents GET "/agents/sessions/{session_id}/events" SessionsRead stream_session_events events::stream, "Streams a session's events.";
    Agents GET "/agents/sessions/{session_id}/items" SessionsRead list_session_items history::items, "Lists a session's items.";
    Agents GET "/agents/sessions/{session_id}/turns" SessionsRead list_session_turns history::turns, "Lists a session's turns.";
    Agents GET "/agents/sessions/{session_id}/turns/{turn_id}" SessionsRead get_session_turn history::turn, "Shows a turn.";
    Agents GET "/agents/sessions/{session_id}/turns/{turn_id}/items" SessionsRead list_turn_items history::turn_items, "Lists a turn's items.";
    Agents GET "/agents/sessions/{session_id}/artifacts" SessionsRead list_session_artifacts artifacts::list, "Lists the files that a session's turns published.";
    Agents GET "/agents/sessions/{session_id}/artifacts/{artifact_id}" SessionsRead get_session_artifact artifacts::get, "Shows an artifact.";
    Agents DELETE "/agents/sessions/{session_id}/artifacts/{artifact_id}" SessionsWrite delete_session_artifact artifacts::delete, "Deletes an artifact and its bytes.";
    Agents GET "/agents/sessions/{session_id}/artifacts/{artifact_id}/content" SessionsRead get_session_artifact_content artifacts::content, "Downloads an artifact.";

    Agents GET "/agents/sessions/{session_id}/subagents" SessionsRead list_session_subagents unbuilt::answer, "Not built.";
    Agents GET "/agents/sessions/{session_id}/subagents/{subagent_id}" SessionsRead get_session_subagent unbuilt::answer, "Not built.";
    Agents GET "/agents/sessions/{session_id}/subagents/{subagent_id}/items" SessionsRead list_subagent_items unbuilt::answer, "Not built.";
    Agents GET "/agents/sessions/{session_id}/subagents/{subagent_id}/turns" SessionsRead list_subagent_turns unbuilt::answer, "Not built.";
    Agents GET "/agents/sessions/{session_id}/subagents/{subagent_id}/turns/{turn_id}" SessionsRead get_subagent_turn unbuilt::answer, "Not built.";
    Agents GET "/agents/sessions/{session_id}/subagents/{subagent_id}/turns/{turn_id}/items" SessionsRead list_subagent_turn_items unbuilt::answer, "Not built.";
    Agents GET "/agents/sessions/{session_id}/traces" SessionsRead list_session_traces unbuilt::answer, "Not built.";

    Agents POST "/agents/environments" SessionsWrite create_environment unbuilt::environment, "Not built: environments are made with their sessions.";
    Agents GET "/agents/environments" SessionsRead list_environments environments::list, "Lists the environments of sessions.";
    Agents GET "/agents/environments/{environment_id}" SessionsRead get_environment environments::get, "Shows an environment.";
    Agents GET "/agents/environments/{environment_id}/files" SessionsRead list_environment_files environment_files::list, "Lists the files that a hosted environment starts with.";
    Agents POST "/agents/environments/{environment_id}/files" SessionsWrite create_environment_file environment_files::create, "Gives a file to an environment, running or not.";
    Agents POST "/agents/environments/templates" AgentsWrite create_environment_template unbuilt::answer, "Not built.";
    Agents GET "/agents/environments/templates" AgentsRead list_environment_templates unbuilt::answer, "Not built.";
    Agents GET "/agents/environments/templates/{environment_template_id}" AgentsRead get_environment_template unbuilt::answer, "Not built.";
    Agents POST "/agents/environments/templates/{environment_template_id}" AgentsWrite update_environment_template unbuilt::answer, "Not built.";
    Agents DELETE "/agents/environments/templates/{environment_template_id}" AgentsWrite delete_environment_template unbuilt::answer, "Not built.";

    Agents POST "/agents/automations" AgentsWrite create_automation unbuilt::answer, "Not built.";
    Agents GET "/agents/automations" AgentsRead list_automations unbuilt::answer, "Not built.";
    Agents GET "/agents/automations/{automation_id}" AgentsRead get_automation unbuilt::answer, "Not built.";
    Agents POST "/agents/automations/{automation_id}" AgentsWrite update_automation unbuilt::answer, "Not built.";
    Agents DELETE "/agents/automations/{automation_id}" AgentsWrite delete_automation unbuilt::answer, "Not built.";
    Agents POST "/agents/automations/{automation_id}/pause" AgentsWrite pause_automation unbuilt::answer, "Not built.";
    Agents POST "/agents/automations/{automation_id}/resume" AgentsWrite resume_automation unbuilt::answer, "Not built.";
    Agents POST "/agents/automations/{automation_id}/invocations" AgentsWrite create_automation_invocation unbuilt::answer, "Not built.";
    Agents GET "/agents/automations/{automation_id}/invocations" AgentsRead list_automation_invocations unbuilt::answer, "Not built.";
    Agents GET "/agents/automations/{automation_id}/invocations/{invocation_id}" AgentsRead get_automation_invocation unbuilt::answer, "Not built.";

    Agents POST "/vaults" VaultsWrite create_vault vaults::create, "Makes a vault for secrets.";
    Agents GET "/vaults" VaultsRead list_vaults vaults::list, "Lists the vaults that the caller keeps.";
    Agents GET "/vaults/{vault_id}" VaultsRead get_vault vaults::get, "Shows a vault.";
    Agents POST "/vaults/{vault_id}" VaultsWrite update_vault vaults::update, "Changes a vault's name or metadata.";
    Agents DELETE "/vaults/{vault_id}" VaultsWrite delete_vault vaults::delete, "Deletes a vault and all its credentials.";
    Agents POST "/vaults/{vault_id}/credentials" VaultsWrite create_vault_credential vaults::create_credential, "Puts a secret into a vault.";
    Agents GET "/vaults/{vault_id}/credentials" VaultsRead list_vault_credentials vaults::list_credentials, "Lists a vault's credentials, without their secrets.";
    Agents GET "/vaults/{vault_id}/credentials/{credential_id}" VaultsRead get_vault_credential vaults::get_credential, "Shows a credential, without its secrets.";
    Agents POST "/vaults/{vault_id}/credentials/{credential_id}" VaultsWrite update_vault_credential vaults::update_credential, "Gives a credential new secrets or metadata.";
    Agents DELETE "/vaults/{vault_id}/credentials/{credential_id}" VaultsWrite delete_vault_credential vaults::delete_credential, "Deletes a credential.";

    Agents POST "/skills" AgentsWrite create_skill skills::create, "Uploads a skill: a folder with a `SKILL.md`, as files or as one ZIP archive.";
    Agents GET "/skills" AgentsRead list_skills skills::list, "Lists the skills that the organisation keeps.";
    Agents GET "/skills/{skill_id}" AgentsRead get_skill skills::get, "Shows a skill.";
    Agents POST "/skills/{skill_id}" AgentsWrite update_skill skills::update, "Says which version is taken where nobody says which.";
    Agents DELETE "/skills/{skill_id}" AgentsWrite delete_skill skills::delete, "Deletes a skill with all its versions.";
    Agents GET "/skills/{skill_id}/content" AgentsRead get_skill_content skills::content_of_default, "Downloads the default version as a ZIP archive.";
    Agents POST "/skills/{skill_id}/versions" AgentsWrite create_skill_version skills::create_version, "Uploads one more version of a skill.";
    Agents GET "/skills/{skill_id}/versions" AgentsRead list_skill_versions skills::versions, "Lists the versions of a skill.";
    Agents GET "/skills/{skill_id}/versions/{version}" AgentsRead get_skill_version skills::get_version, "Shows one version.";
    Agents DELETE "/skills/{skill_id}/versions/{version}" AgentsWrite delete_skill_version skills::delete_version, "Deletes a version that is not the default one.";
    Agents GET "/skills/{skill_id}/versions/{version}/content" AgentsRead get_skill_version_content skills::content_of_version, "Downloads one version as a ZIP archive.";
    Agents POST "/webhook_endpoints" Admin create_webhook_endpoint unbuilt::answer, "Not built.";
    Agents GET "/webhook_endpoints" Admin list_webhook_endpoints unbuilt::answer, "Not built.";
    Agents GET "/webhook_endpoints/{webhook_endpoint_id}" Admin get_webhook_endpoint unbuilt::answer, "Not built.";
    Agents POST "/webhook_endpoints/{webhook_endpoint_id}" Admin update_webhook_endpoint unbuilt::answer, "Not built.";
    Agents DELETE "/webhook_endpoints/{webhook_endpoint_id}" Admin delete_webhook_endpoint unbuilt::answer, "Not built.";

    Agents POST "/files" FilesWrite create_file files::create, "Uploads a file.";
    Agents GET "/files" FilesRead list_files files::list, "Lists uploaded files.";
    Agents GET "/files/{file_id}" FilesRead get_file files::get, "Shows an uploaded file.";
    Agents DELETE "/files/{file_id}" FilesWrite delete_file files::delete, "Deletes an uploaded file and its bytes.";
    Agents GET "/files/{file_id}/content" FilesRead get_file_content files::content, "Downloads an uploaded file.";
    Agents GET "/models" AgentsRead list_models models::list, "Lists the published models.";
    Agents GET "/models/{model}" AgentsRead get_model models::get, "Shows a published model.";

    Bailiwick POST "/sessions/{session_id}/resolve" SessionsWrite resolve_outcome sessions::resolve, "Says what became of an action whose outcome is unknown.";
    Bailiwick POST "/stops" SessionsStop set_stop stops::set, "Stops a session, an agent, a team or everything: what runs ends, nothing new begins.";
    Bailiwick GET "/stops" SessionsRead list_stops stops::list, "Lists what is stopped.";
    Bailiwick DELETE "/stops/{target}" SessionsStop lift_stop stops::lift, "Lets what was stopped work again.";
    Bailiwick POST "/holds" HoldsWrite set_hold holds::set, "Forbids to delete what a person, an agent or a session left.";
    Bailiwick GET "/holds" AuditRead list_holds holds::list, "Lists what must not be deleted.";
    Bailiwick DELETE "/holds/{target}" HoldsWrite lift_hold holds::lift, "Lets what was held be deleted again.";
    Bailiwick GET "/memories" SessionsRead list_memories memories::list, "Lists what is remembered: one's own, and what is shared with one.";
    Bailiwick POST "/memories" SessionsWrite create_memory memories::create, "Remembers something.";
    Bailiwick POST "/memories/search" SessionsRead search_memories memories::search, "Finds what is remembered, by words.";
    Bailiwick GET "/memories/counts" TenantRead count_memories memories::counts, "Says how much is remembered, and nothing of what.";
    Bailiwick GET "/memories/{memory_id}" SessionsRead get_memory memories::get, "Shows one thing that is remembered, with where it came from.";
    Bailiwick POST "/memories/{memory_id}" SessionsWrite correct_memory memories::correct, "Corrects it.";
    Bailiwick POST "/memories/{memory_id}/confirm" SessionsWrite confirm_memory memories::confirm, "Vouches for what was only proposed.";
    Bailiwick DELETE "/memories/{memory_id}" SessionsWrite forget_memory memories::forget, "Erases it, from the disk too, with a receipt.";
    Bailiwick POST "/people/{user_id}/erase" Admin erase_user holds::erase, "Erases what a person keeps here and what was done in their rights, by destroying the key.";
    Bailiwick GET "/people/{user_id}/erasure" AuditRead get_erasure holds::erasure, "Says how far the erasure of a person's content is.";
    Bailiwick GET "/erasures" AuditRead list_erasures holds::erasures, "Lists whose content was erased.";
    Bailiwick GET "/approvals" SessionsRead list_approvals approvals::list, "Lists what waits for a person's word: what the caller may answer or see.";
    Bailiwick GET "/approvals/{approval_id}" SessionsRead get_approval approvals::get, "Shows one action that waits for a person's word.";
    Bailiwick POST "/approvals/{approval_id}" SessionsWrite answer_approval approvals::answer, "Approves or denies one exact action.";
    Bailiwick GET "/connectors" AgentsRead list_connectors connectors::list, "Lists the connectors that the caller may see.";
    Bailiwick GET "/connectors/{connector}" AgentsRead get_connector connectors::get, "Shows a connector.";
    Bailiwick POST "/connectors/{connector}" Admin apply_connector connectors::apply, "Makes or changes a connector.";
    Bailiwick DELETE "/connectors/{connector}" Admin remove_connector connectors::remove, "Removes a connector: no agent reaches its system any more.";
    Bailiwick POST "/connectors/{connector}/accept" Admin accept_connector_tools connectors::accept, "Accepts the tools that a connector offered in a session; others are held back from then on.";
    Bailiwick POST "/connectors/{connector}/test" SessionsWrite test_connector connectors::test, "Opens a connector as the caller would, and says from where, as whom, and what came back.";
    Bailiwick GET "/connections" VaultsRead list_connections connections::list, "Lists the systems at which the caller has, or can connect, an account of their own.";
    Bailiwick GET "/connections/{connector}" VaultsRead get_connection connections::get, "Shows the caller's account there, with the link that connects one.";
    Bailiwick DELETE "/connections/{connector}" VaultsWrite remove_connection connections::remove, "Forgets the caller's account there, and has its authorization server end it.";
    Bailiwick GET "/connections/{connector}/start" Nothing begin_connection connections::depart, "Leads the signed-in person for whom the link is to the system's authorization server.";
    Bailiwick GET "/connections/{connector}/return" Nothing end_connection connections::arrive, "Where the authorization server sends them back to.";
    Bailiwick GET "/connections/{connector}/client" Nothing get_client_document connections::document, "Who we are to authorization servers (OAuth Client ID Metadata Document).";
    Bailiwick POST "/connectors/{connector}/publish" Admin publish_connector catalogue::publish, "Puts a connector into the catalogue: what it is for, and who may ask for it.";
    Bailiwick POST "/connectors/{connector}/withdraw" Admin withdraw_connector catalogue::withdraw, "Takes a connector out of the catalogue; what was granted stays.";
    Bailiwick GET "/catalogue" AgentsRead list_catalogue catalogue::list, "Lists the connectors that the caller may ask for.";
    Bailiwick POST "/connectors/{connector}/requests" SessionsWrite ask_for_connector catalogue::ask, "Asks to be given a connector, for an agent that one answers for or for oneself.";
    Bailiwick GET "/connector-requests" SessionsRead list_connector_requests catalogue::requests, "Lists what the caller asked for and may answer.";
    Bailiwick GET "/connector-requests/{request_id}" SessionsRead get_connector_request catalogue::get_request, "Shows a request and what came of it.";
    Bailiwick POST "/connector-requests/{request_id}/grant" SessionsWrite grant_connector catalogue::grant, "Gives what was asked for, with the tools that are chosen.";
    Bailiwick POST "/connector-requests/{request_id}/refuse" SessionsWrite refuse_connector catalogue::refuse, "Refuses what was asked for, with a reason.";
    Bailiwick DELETE "/connector-requests/{request_id}" SessionsWrite remove_connector_request catalogue::remove, "Takes a request back, or ends what a person was given.";
    Bailiwick POST "/grants" SessionsWrite create_grant grants::create, "Lets a program order work for a person, or pass on what a person answers.";
    Bailiwick GET "/grants" SessionsRead list_grants grants::list, "Lists the grants that the caller gave, is named in, or may see.";
    Bailiwick GET "/grants/{grant_id}" SessionsRead get_grant grants::get, "Shows a grant, also one that has ended.";
    Bailiwick DELETE "/grants/{grant_id}" SessionsWrite revoke_grant grants::revoke, "Ends a grant at once.";
    Bailiwick GET "/audit" AuditRead get_audit_log audit::status, "Shows the receipt log: its public key, and a checkpoint over everything in it.";
    Bailiwick GET "/audit/receipts" AuditRead list_audit_receipts audit::list, "Lists receipts by person, agent, session, operation, decision, effect and time.";
    Bailiwick GET "/audit/receipts/{action_id}" AuditRead get_audit_receipt audit::show, "Shows an action's receipt, with the proofs that its records are in the log.";
    Bailiwick GET "/audit/checkpoints" AuditRead list_audit_checkpoints audit::checkpoints, "Lists signed heads of the tree, smallest first.";
    Bailiwick GET "/audit/consistency" AuditRead get_audit_consistency audit::consistency, "Proves that one tree is the beginning of another.";
    Bailiwick GET "/audit/export" AuditRead export_audit audit::export, "Exports records with proofs, as JSON lines that `bailiwick-verify` checks.";
    Bailiwick GET "/audit/agents/{agent_id}/reach" AuditRead get_agent_reach audit::reach, "Says what an agent has asked for so far, and what was decided.";
    Bailiwick GET "/administration" AuditRead list_administration audit::administration, "Lists who changed what the administration keeps, when and why.";
    Bailiwick POST "/sessions/{session_id}/release" SessionsStop release_label sessions::release, "Takes a label off a session, or part of it.";
    Bailiwick GET "/sessions/{session_id}/receipts" SessionsRead list_receipts receipts::list, "Lists what was decided and what became of it, with its place in the hash chain.";
    Bailiwick GET "/agents/{agent_id}/versions" AgentsRead list_agent_versions agents::versions, "Lists every version of a saved agent, newest first.";
    Bailiwick POST "/agents/{agent_id}/publish" AgentsWrite publish_agent agents::publish, "Makes a version of an agent the one that new sessions get, also an earlier one.";
    Bailiwick GET "/agents/orphaned" AgentsRead list_orphaned_agents agents::orphaned, "Lists agents that nobody answers for.";
    Bailiwick GET "/sign-in" Nothing get_sign_in_ways sign_in::ways, "Says how one can sign in.";
    Bailiwick POST "/sign-in" Nothing sign_in sign_in::by_password, "Lets somebody in by name and password, with a cookie or a bearer token.";
    Bailiwick POST "/sign-in/set-up" Nothing set_password sign_in::set_up, "Chooses a password with a code that an administrator handed over.";
    Bailiwick GET "/sign-in/provider" Nothing begin_provider_sign_in sign_in::depart, "Leads a browser to the identity provider.";
    Bailiwick GET "/sign-in/provider/return" Nothing end_provider_sign_in sign_in::arrive, "Where the identity provider sends it back to.";
    Bailiwick GET "/sign-in/provider/return/{organisation_id}" Nothing end_organisation_sign_in sign_in::arrive, "Where another organisation's identity provider sends it back to.";
    Bailiwick POST "/sign-in/provider/redeem" Nothing redeem_provider_sign_in sign_in::redeem, "Gives a command line its sign-in for the code that a browser brought it.";
    Bailiwick POST "/sign-in/provider/logout" Nothing end_provider_session sign_in::logged_out, "Where the identity provider says that somebody's session is over (OpenID Connect back-channel logout).";
    Bailiwick POST "/sign-out" Known sign_out sign_in::sign_out, "Ends the sign-in that this request shows.";
    Bailiwick GET "/me" Known get_me sign_in::me, "Says who is asking, and what they may do.";
    Bailiwick POST "/token" Nothing exchange_token tokens::exchange, "Exchanges a person's token for one for an agent that acts for them (RFC 8693).";
    Bailiwick POST "/token/revoke" Nothing revoke_token tokens::revoke, "Ends a token before its time (RFC 7009).";
    Bailiwick POST "/token/keys/rotate" Admin rotate_token_key tokens::rotate, "Has another key sign tokens from now on; the one before proves what it signed until that has expired.";
    Bailiwick GET "/jwks" Nothing get_token_keys tokens::keys, "The keys with which tokens are signed (RFC 7517).";
    WellKnown GET "/oauth-authorization-server" Nothing get_token_metadata tokens::metadata, "What this server says of the tokens that it issues (RFC 8414).";
    Bailiwick POST "/people" PeopleWrite create_user people::create, "Adds a person.";
    Bailiwick GET "/people" PeopleRead list_users people::list, "Lists people.";
    Bailiwick GET "/people/{user_id}" PeopleRead get_user people::get, "Shows a person.";
    Bailiwick POST "/people/{user_id}" PeopleWrite update_user people::update, "Changes, disables or enables a person.";
    Bailiwick POST "/people/{user_id}/reset-password" PeopleWrite reset_password people::reset_password, "Ends a person's password and sign-ins, and gives a code for another.";
    Bailiwick POST "/teams" PeopleWrite create_team teams::create, "Adds a team.";
    Bailiwick GET "/teams" PeopleRead list_teams teams::list, "Lists teams.";
    Bailiwick GET "/teams/{team_id}" PeopleRead get_team teams::get, "Shows a team.";
    Bailiwick POST "/teams/{team_id}" PeopleWrite update_team teams::update, "Renames a team.";
    Bailiwick POST "/budgets" BudgetsWrite set_budget budgets::set, "Sets a limit on what a tenant, team, user, agent or session may spend.";
    Bailiwick GET "/budgets" SpendRead list_budgets budgets::list, "Lists budgets with what is left of them.";
    Bailiwick DELETE "/budgets/{budget_id}" BudgetsWrite delete_budget budgets::remove, "Takes a limit away.";
    Bailiwick GET "/spend" SpendRead show_spend spend::show, "Sums what was spent.";
    Bailiwick GET "/spend/estimate" SpendRead estimate_spend spend::estimate, "Says what a run of an agent is likely to cost, from its past runs.";
    Bailiwick GET "/policy" PolicyRead get_policy policy::current, "Shows the rules that decide now.";
    Bailiwick POST "/policy" PolicyWrite apply_policy policy::apply, "Applies other rules: for the next action of every session.";
    Bailiwick GET "/policy/versions" PolicyRead list_policy_versions policy::versions, "Lists every version there was.";
    Bailiwick GET "/policy/versions/{policy_version}" PolicyRead get_policy_version policy::version, "Shows one version.";
    Bailiwick POST "/policy/validate" PolicyRead validate_policy policy::validate, "Says whether a text could be applied.";
    Bailiwick POST "/policy/explain" PolicyRead explain_policy policy::explain, "Says which rules decide an action that is only described.";
    Bailiwick POST "/policy/simulate" PolicyWrite simulate_policy policy_simulation::simulate, "Says what a draft would have decided otherwise.";
    Bailiwick POST "/keys" Admin create_key keys::create, "Makes an API key or an access key. The secret is shown this once.";
    Bailiwick GET "/keys" Admin list_keys keys::list, "Lists keys without their secrets.";
    Bailiwick DELETE "/keys/{key_id}" Admin revoke_key keys::revoke, "Revokes a key.";
    Bailiwick POST "/encryption-keys/rotate" Admin rotate_encryption_key encryption_keys::rotate, "Replaces the key under which all others lie, while work goes on. Only through the local socket.";
    Bailiwick GET "/encryption-keys" Admin get_encryption_keys encryption_keys::show, "Says which key all others lie under, and how far a rotation is. Only through the local socket.";
    Bailiwick POST "/tenants" Admin create_tenant tenants::create, "Makes an organisation, with an administrator's key that is shown this once. Only through the local socket.";
    Bailiwick GET "/tenants" Admin list_tenants tenants::list, "Lists the organisations of this server. Only through the local socket.";
    Bailiwick POST "/tenants/{tenant_id}/keys" Admin create_tenant_key tenants::create_key, "Makes another administrator's key. Only through the local socket.";

    Toolsets POST "/{agent_id}" SessionsWrite call_toolset toolsets::answer, "Takes one message of the Model Context Protocol: the tools of a saved agent, for agents that are not run here.";

    Executors POST "/cloud/environment/{environment_id}/direct/register" EnvironmentsConnect register_executor executors::register, "Registers a self-hosted executor.";
    Executors GET "/cloud/environment/{environment_id}/direct/{registration_id}" EnvironmentsConnect connect_executor executors::connect, "The WebSocket that a registered executor opens.";
}

/// The whole interface. With `trusted`, every request is from that caller.
pub(crate) fn router(app: Arc<App>, trusted: Option<Caller>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        for prefix in route.area.prefixes() {
            let (app, trusted) = (Arc::clone(&app), trusted.clone());
            let answer = move |request: Request| {
                let (app, trusted) = (Arc::clone(&app), trusted.clone());
                let id = app.request_id();
                // A fault is logged with the id that the caller is told.
                let span =
                    tracing::error_span!("request", id, operation = route.operation, actor = Empty, subject = Empty);
                let work = async move {
                    let answer = answer(app, trusted, route, request).await;
                    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
                    if let Ok(id) = HeaderValue::try_from(id) {
                        response.headers_mut().insert("x-request-id", id);
                    }
                    response
                };
                work.instrument(span)
            };
            router = router.route(&format!("{prefix}{}", route.path), on(filter(route.method), answer));
        }
    }
    // Bodies are bounded where they are read.
    router.fallback(no_route).method_not_allowed_fallback(no_method).layer(DefaultBodyLimit::disable())
}

fn filter(method: &str) -> MethodFilter {
    match method {
        "GET" => MethodFilter::GET,
        "DELETE" => MethodFilter::DELETE,
        _ => MethodFilter::POST,
    }
}

async fn no_route(request: Request) -> ApiError {
    ApiError::no_route(request.method().as_str(), request.uri().path())
}

async fn no_method(method: Method) -> ApiError {
    ApiError::method_not_allowed(method.as_str())
}

async fn answer(app: Arc<App>, trusted: Option<Caller>, route: &'static Route, request: Request) -> Answer {
    let _counted = app.bounds.request()?;
    let (mut parts, body) = request.into_parts();
    let base_url = base_url(&app, &parts);
    let handler = match route.handler {
        Handler::Known(handler) => handler,
        Handler::Open(handler) => {
            auth::check_size(&parts)?;
            return handler(Visit { app, base_url, parts, body: SyncBody::new(body) }).await;
        }
    };
    let (caller, body, claimed) = match trusted {
        Some(caller) => (caller, body, None),
        None => auth::authenticate(&app, &parts, &base_url, body).await?,
    };
    let mark = Mark(&caller.principal);
    Span::current().record("actor", display(mark.actor())).record("subject", display(mark.subject()));
    app.bounds.rate(caller.tenant, &caller.principal, app.now())?;
    if let Need::Scope(scope) = route.need
        && !caller.may(scope)
    {
        return Err(lacks(&caller, scope));
    }
    let params = match RawPathParams::from_request_parts(&mut parts, &()).await {
        Ok(params) => params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        Err(_) => return Err(no_route_of(&parts)),
    };
    handler(Call { app, caller, route, params, base_url, parts, body: SyncBody::new(body), claimed }).await
}

fn lacks(caller: &Caller, scope: Scope) -> ApiError {
    ApiError::forbidden(match (&caller.principal, caller.bound_environment) {
        (_, Some(_)) => "This key is bound to an environment: it can only connect an executor there.".to_owned(),
        (Principal::User { .. }, _) => {
            format!("None of your roles has the scope `{scope}`. An administrator can give you one that has it.")
        }
        _ => format!("This key lacks the scope `{scope}`. An administrator can make one that has it."),
    })
}

fn no_route_of(parts: &Parts) -> ApiError {
    ApiError::no_route(parts.method.as_str(), parts.uri.path())
}

/// How the client reached us: the configured address, else what it says itself, if that can be a host.
fn base_url(app: &App, parts: &Parts) -> String {
    if let Some(url) = &app.options.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let named = parts.headers.get("host").and_then(|host| host.to_str().ok());
    let named = named.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    let fine = |host: &&str| {
        (1..=255).contains(&host.len())
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte))
    };
    format!("http://{}", named.filter(fine).unwrap_or("localhost"))
}
