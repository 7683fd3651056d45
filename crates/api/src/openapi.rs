//! The OpenAPI document: the paths of the route table with the schemas of the wire types. It is committed as
//! `docs/openapi.json`; `cargo xtask openapi` writes it and fails on drift with `--check`.

use crate::{
    error::ErrorBody,
    handlers::{
        agents::PublishParam,
        encryption_keys::{EncryptionKeyRotation, EncryptionKeysResource, RotateEncryptionKeyParam},
        executors::{RegisterParam, Registration},
        keys::{Key, KeyParam},
        receipts::Receipt,
        sessions::ResolveParam,
        tenants::{TenantParam, TenantResource},
    },
    routes::{Area, Need, ROUTES, Route},
    types::{
        agent::{AgentResource, Deleted, SavedAgentParam},
        approval::{AnswerParam, Answered, Approval},
        audit::{
            AdministrationEntry, AgentReach, AuditLog, AuditReceipt, AuditReceiptProof, CheckpointResource,
            ConsistencyProof,
        },
        catalogue::{
            AskForConnectorParam, CatalogueEntry, ConnectorRequestResource, GrantConnectorParam, PublishConnectorParam,
            RefuseConnectorParam,
        },
        connection::{Connection, Disconnected},
        connector::{AcceptParam, ConnectorParam, ConnectorResource, ConnectorTest},
        environment::{EnvironmentFile, EnvironmentFilePage, EnvironmentInfo},
        event::Event,
        extra::ReleaseParam,
        file::{Artifact, File, FileForm, Model},
        grant::{Grant, GrantParam},
        hold::{ErasureParam, ErasureResource, HoldParam, HoldResource},
        input::EventsParam,
        item::Item,
        memory::{
            MemoryConfirmation, MemoryCorrection, MemoryCounts, MemoryCreate, MemoryForgotten, MemoryResource,
            MemorySearchParam,
        },
        money::{Budget, BudgetParam, BudgetRemoved, SpendEstimate, SpendReport},
        page::Page,
        people::{
            Me, SetUpParam, SignInParam, SignInResource, SignInWays, SignedOut, TeamParam, TeamResource, UserParam,
            UserResource, UserUpdate,
        },
        policy::{
            ExplainParam, Policy, PolicyDraft, PolicyExplanation, PolicyParam, PolicySimulation, PolicyValidation,
            SimulateParam,
        },
        session::{Session, SessionCreate, SessionUpdate},
        skill::{
            DeletedSkillVersion, SkillForm, SkillResource, SkillUpdateParam, SkillVersionForm, SkillVersionResource,
        },
        stop::{Stop, StopParam},
        tokens::{RedeemParam, RotateSigningKeyParam},
        turn::Turn,
        vault::{Credential, CredentialCreate, CredentialUpdate, Vault, VaultCreate, VaultUpdate},
    },
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(components(schemas(
    AdministrationEntry,
    AgentReach,
    AgentResource,
    AnswerParam,
    Answered,
    Approval,
    Artifact,
    AuditLog,
    AuditReceipt,
    AuditReceiptProof,
    Budget,
    BudgetParam,
    BudgetRemoved,
    CheckpointResource,
    ConsistencyProof,
    Deleted,
    EncryptionKeyRotation,
    EncryptionKeysResource,
    RotateEncryptionKeyParam,
    EnvironmentFile,
    EnvironmentFilePage,
    EnvironmentInfo,
    ErrorBody,
    Event,
    EventsParam,
    File,
    FileForm,
    Grant,
    GrantParam,
    Item,
    Key,
    KeyParam,
    Model,
    Page<AdministrationEntry>,
    Page<AgentResource>,
    Page<AuditReceipt>,
    Page<CheckpointResource>,
    Page<Approval>,
    Page<Artifact>,
    Page<Budget>,
    Page<EnvironmentInfo>,
    Page<File>,
    Page<Grant>,
    Page<Item>,
    Page<Key>,
    Page<Model>,
    Page<Policy>,
    Page<Receipt>,
    Page<Session>,
    Page<TeamResource>,
    Page<TenantResource>,
    Page<Turn>,
    Page<UserResource>,
    Me,
    ExplainParam,
    Policy,
    PolicyDraft,
    PolicyExplanation,
    PolicyParam,
    PolicySimulation,
    PolicyValidation,
    PublishParam,
    SimulateParam,
    RedeemParam,
    RotateSigningKeyParam,
    SetUpParam,
    SignInParam,
    SignInResource,
    SignInWays,
    SignedOut,
    TeamParam,
    TeamResource,
    TenantParam,
    TenantResource,
    UserParam,
    UserResource,
    UserUpdate,
    Receipt,
    RegisterParam,
    ReleaseParam,
    Registration,
    ResolveParam,
    SavedAgentParam,
    Stop,
    StopParam,
    Page<Stop>,
    ConnectorResource,
    ConnectorParam,
    ConnectorTest,
    Connection,
    Page<Connection>,
    Disconnected,
    AcceptParam,
    Page<ConnectorResource>,
    PublishConnectorParam,
    CatalogueEntry,
    Page<CatalogueEntry>,
    AskForConnectorParam,
    GrantConnectorParam,
    RefuseConnectorParam,
    ConnectorRequestResource,
    Page<ConnectorRequestResource>,
    MemoryResource,
    MemoryCreate,
    MemoryCorrection,
    MemoryConfirmation,
    MemorySearchParam,
    MemoryCounts,
    MemoryForgotten,
    Page<MemoryResource>,
    HoldResource,
    HoldParam,
    Page<HoldResource>,
    ErasureResource,
    ErasureParam,
    Page<ErasureResource>,
    Session,
    SessionCreate,
    SessionUpdate,
    SkillResource,
    SkillForm,
    SkillUpdateParam,
    Page<SkillResource>,
    SkillVersionResource,
    SkillVersionForm,
    DeletedSkillVersion,
    Page<SkillVersionResource>,
    SpendEstimate,
    SpendReport,
    Turn,
    Vault,
    VaultCreate,
    VaultUpdate,
    Page<Vault>,
    Credential,
    CredentialCreate,
    CredentialUpdate,
    Page<Credential>,
)))]
struct Schemas;

/// What a built route takes and gives, by the names of schemas.
#[derive(Default)]
struct Shape {
    query: &'static [&'static str],
    headers: &'static [&'static str],
    request: Option<&'static str>,
    /// `None`: 202 without a body.
    response: Option<&'static str>,
    /// The answer sends a browser elsewhere.
    leads_on: bool,
    /// A stream of events, beside or instead of JSON.
    stream: bool,
}

const VAULTS: &[&str] = &["limit", "order", "after", "before", "metadata", "status"];

const RECEIPTS: &[&str] = &[
    "limit",
    "order",
    "after",
    "kind",
    "orderer",
    "person",
    "agent",
    "session",
    "operation",
    "decision",
    "effect",
    "outside",
    "credential",
    "left",
    "from",
    "until",
];
const EXPORT: &[&str] = &[
    "of",
    "opened",
    "kind",
    "orderer",
    "person",
    "agent",
    "session",
    "operation",
    "decision",
    "effect",
    "outside",
    "credential",
    "left",
    "from",
    "until",
];
const PAGE: &[&str] = &["limit", "order", "after", "before"];

/// The document, with a line break at its end.
pub fn openapi() -> String {
    let mut schemas = serde_json::to_value(Schemas::openapi()).unwrap_or_default()["components"]["schemas"].take();
    open_tagged(&mut schemas);
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = format!("{}{}", route.area.prefixes()[0], route.path);
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[route.method.to_lowercase()] = operation(route);
    }
    // What RFC 8693, 7009, 7517 and 8414 describe.
    schemas["AnyObject"] = json!({"type": "object"});
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bailiwick",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The OpenAI Agents API (`OpenAI-Beta: agents=v1`), also under `/openai/v1`, and our own \
                additions under `/bailiwick/v1`. Objects named `bailiwick` are ours. What is not built answers 501 and \
                names the field or the route.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"sigv4": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
                "sigv4": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "AWS Signature 4 under an access key.",
                },
            },
        },
    });
    // INVARIANT: a JSON value has a text.
    let text = serde_json::to_string_pretty(&sorted(document)).expect("a document is JSON");
    format!("{text}\n")
}

/// What is combined with its tag by `allOf` must not forbid the tag.
fn open_tagged(schemas: &mut Value) {
    let Some(all) = schemas.as_object() else { return };
    let variants = all.values().filter_map(|schema| schema["oneOf"].as_array()).flatten();
    let parts = variants.filter_map(|variant| variant["allOf"].as_array()).flatten();
    let names: Vec<String> =
        parts.filter_map(|part| Some(part["$ref"].as_str()?.rsplit('/').next()?.to_owned())).collect();
    for name in names {
        if let Some(schema) = schemas[name].as_object_mut() {
            schema.remove("additionalProperties");
        }
    }
}

fn operation(route: &Route) -> Value {
    let shape = shape(route);
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut parameters: Vec<Value> = in_path
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    parameters.extend(shape.iter().flat_map(|shape| shape.query).map(|name| parameter(name)));
    let header = |name: &&str| json!({"name": name, "in": "header", "schema": {"type": "string"}});
    parameters.extend(shape.iter().flat_map(|shape| shape.headers).map(header));
    let tag = match route.area {
        Area::Agents => "Agents API",
        Area::Bailiwick => "Bailiwick",
        Area::WellKnown | Area::Toolsets => "Bailiwick",
        Area::Executors => "Executors",
    };
    let mut operation = json!({
        "operationId": route.operation, "summary": route.summary, "tags": [tag],
        "x-required-scope": route.need.name(), "parameters": parameters, "responses": responses(shape.as_ref()),
    });
    if route.need == Need::Nothing {
        operation["security"] = json!([]);
    }
    if let Some(name) = shape.as_ref().and_then(|shape| shape.request) {
        let is_form = ["FileCreateParams", "SkillCreateParams", "SkillVersionCreateParams"].contains(&name);
        let kind = if is_form { "multipart/form-data" } else { "application/json" };
        operation["requestBody"] = json!({"required": true, "content": {kind: {"schema": reference(name)}}});
    }
    operation
}

fn parameter(name: &str) -> Value {
    let schema = match name {
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        "order" => json!({"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
        "include_obfuscation" => json!({"type": "boolean", "default": true}),
        "metadata" => {
            let schema = json!({"type": "object", "additionalProperties": {"type": "string"}});
            return json!({"name": name, "in": "query", "style": "deepObject", "explode": true, "schema": schema});
        }
        _ => json!({"type": "string"}),
    };
    json!({"name": name, "in": "query", "schema": schema})
}

fn responses(shape: Option<&Shape>) -> Value {
    let error =
        |text: &str| json!({"description": text, "content": {"application/json": {"schema": reference("Error")}}});
    let mut responses = json!({"4XX": error("The request is refused."), "5XX": error("It cannot be answered now.")});
    let Some(shape) = shape else {
        responses["501"] = error("Not built.");
        return responses;
    };
    let mut content = Map::new();
    match shape.response {
        Some("binary") => {
            content.insert("application/octet-stream".into(), json!({}));
        }
        Some(name) => {
            content.insert("application/json".into(), json!({"schema": reference(name)}));
        }
        None => {}
    }
    if shape.stream {
        content.insert("text/event-stream".into(), json!({"itemSchema": reference("AgentSessionEvent")}));
    }
    if shape.leads_on {
        responses["303"] = json!({"description": "The browser goes on."});
        return responses;
    }
    match (content.is_empty(), shape.request) {
        (true, Some(_)) => responses["202"] = json!({"description": "It is on disk and will be taken in."}),
        (true, None) => responses["101"] = json!({"description": "The protocol's WebSocket."}),
        (false, _) => responses["200"] = json!({"description": "Done.", "content": content}),
    }
    responses
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// With the keys of every object in alphabetical order, whatever order maps keep in this build: another room may switch
/// on the feature of `serde_json` that keeps them as they were written.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields.into_iter().collect();
            Value::Object(fields.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        plain => plain,
    }
}

/// `None` for what is not built.
fn shape(route: &Route) -> Option<Shape> {
    let operation = route.operation;
    of_work(operation)
        .or_else(|| of_gifts(operation))
        .or_else(|| of_control(operation))
        .or_else(|| of_identity(operation))
}

fn answers(response: &'static str) -> Shape {
    Shape { response: Some(response), ..Shape::default() }
}

fn takes(request: &'static str, response: &'static str) -> Shape {
    Shape { request: Some(request), ..answers(response) }
}

fn lists(response: &'static str) -> Shape {
    Shape { query: PAGE, ..answers(response) }
}

/// Agents, sessions, and what they work with.
fn of_work(operation: &str) -> Option<Shape> {
    Some(match operation {
        "create_agent" | "update_agent" => takes("AgentParam", "Agent"),
        "get_agent" => answers("Agent"),
        "list_agents" => lists("Page_Agent"),
        "list_agent_versions" => answers("Page_Agent"),
        "create_session" => {
            Shape { stream: true, headers: &["Idempotency-Key"], ..takes("SessionCreateParams", "AgentSession") }
        }
        "list_sessions" => Shape {
            query: &["limit", "order", "after", "before", "agent_id", "metadata"],
            ..lists("Page_AgentSession")
        },
        "get_session" => answers("AgentSession"),
        "update_session" => Shape { headers: &["Idempotency-Key"], ..takes("SessionUpdateParams", "AgentSession") },
        "create_session_events" => {
            Shape { request: Some("EventsParam"), headers: &["Idempotency-Key"], ..Shape::default() }
        }
        "stream_session_events" => {
            Shape { query: &["include_obfuscation"], headers: &["Last-Event-ID"], stream: true, ..Shape::default() }
        }
        "list_session_items" | "list_turn_items" => lists("Page_Item"),
        "list_session_turns" => lists("Page_Turn"),
        "get_session_turn" => answers("Turn"),
        "list_session_artifacts" => {
            Shape { query: &["limit", "order", "after", "before", "environment_id"], ..lists("Page_SessionArtifact") }
        }
        "get_session_artifact" => answers("SessionArtifact"),
        "get_session_artifact_content" | "get_file_content" => answers("binary"),
        "delete_agent"
        | "delete_session"
        | "delete_vault"
        | "delete_vault_credential"
        | "delete_session_artifact"
        | "delete_file"
        | "revoke_key" => answers("Deleted"),
        "list_environments" => {
            Shape { query: &["limit", "order", "after", "before", "type"], ..lists("Page_EnvironmentInfo") }
        }
        "get_environment" => answers("EnvironmentInfo"),
        "list_environment_files" => {
            Shape { query: &["limit", "order", "page", "path"], ..answers("EnvironmentFilePage") }
        }
        "create_environment_file" => Shape { headers: &["Idempotency-Key"], ..takes("FileParam", "EnvironmentFile") },
        "create_file" => takes("FileCreateParams", "FileObject"),
        "list_files" => Shape { query: &["limit", "order", "after", "before", "purpose"], ..lists("Page_FileObject") },
        "get_file" => answers("FileObject"),
        "list_models" => answers("Page_Model"),
        "get_model" => answers("Model"),
        _ => return None,
    })
}

/// What agents can be given beyond what they are.
fn of_gifts(operation: &str) -> Option<Shape> {
    Some(match operation {
        "publish_connector" => takes("PublishConnectorParam", "Connector"),
        "withdraw_connector" => answers("Connector"),
        "list_catalogue" => answers("Page_CatalogueEntry"),
        "ask_for_connector" => takes("AskForConnectorParam", "ConnectorRequest"),
        "list_connector_requests" => {
            Shape { query: &["limit", "order", "after", "before", "state"], ..lists("Page_ConnectorRequest") }
        }
        "get_connector_request" => answers("ConnectorRequest"),
        "grant_connector" => takes("GrantConnectorParam", "ConnectorRequest"),
        "refuse_connector" => takes("RefuseConnectorParam", "ConnectorRequest"),
        "remove_connector_request" => answers("Deleted"),
        "create_skill" => takes("SkillCreateParams", "Skill"),
        "update_skill" => takes("SkillUpdateParams", "Skill"),
        "list_skills" => lists("Page_Skill"),
        "get_skill" => answers("Skill"),
        "delete_skill" => answers("Deleted"),
        "create_skill_version" => takes("SkillVersionCreateParams", "SkillVersion"),
        "list_skill_versions" => lists("Page_SkillVersion"),
        "get_skill_version" => answers("SkillVersion"),
        "delete_skill_version" => answers("DeletedSkillVersion"),
        "get_skill_content" | "get_skill_version_content" => answers("binary"),
        _ => return None,
    })
}

/// What is decided, spent and written down about work.
fn of_control(operation: &str) -> Option<Shape> {
    Some(match operation {
        "resolve_outcome" => takes("ResolveParam", "AgentSession"),
        "release_label" => takes("ReleaseParam", "AgentSession"),
        "set_stop" => takes("StopParam", "Stop"),
        "list_stops" => answers("Page_Stop"),
        "lift_stop" => answers("Stop"),
        "list_memories" => Shape {
            query: &["limit", "after", "scope", "state", "kind", "team_id", "agent_id"],
            ..answers("Page_Memory")
        },
        "create_memory" => takes("MemoryCreate", "Memory"),
        "search_memories" => takes("MemorySearchParam", "Page_Memory"),
        "count_memories" => answers("MemoryCounts"),
        "get_memory" => Shape { query: &["team_id", "agent_id"], ..answers("Memory") },
        "correct_memory" => {
            Shape { query: &["team_id", "agent_id"], headers: &["If-Match"], ..takes("MemoryCorrection", "Memory") }
        }
        "confirm_memory" => {
            Shape { query: &["team_id", "agent_id"], headers: &["If-Match"], ..takes("MemoryConfirmation", "Memory") }
        }
        "forget_memory" => {
            Shape { query: &["team_id", "agent_id"], headers: &["If-Match"], ..answers("MemoryForgotten") }
        }
        "set_hold" => takes("HoldParam", "Hold"),
        "list_holds" => answers("Page_Hold"),
        "lift_hold" => answers("Hold"),
        "erase_user" => takes("ErasureParam", "Erasure"),
        "get_erasure" => answers("Erasure"),
        "list_erasures" => answers("Page_Erasure"),
        "list_approvals" => lists("Page_Approval"),
        "get_approval" => answers("Approval"),
        "answer_approval" => takes("ApprovalAnswer", "ApprovalAnswered"),
        "list_connections" => answers("Page_Connection"),
        "get_connection" => answers("Connection"),
        "remove_connection" => answers("ConnectionDeleted"),
        "begin_connection" => Shape { query: &["person", "until"], ..Shape::default() },
        "end_connection" => Shape { query: &["code", "state", "iss", "error"], ..Shape::default() },
        "get_client_document" => answers("AnyObject"),
        "list_connectors" => answers("Page_Connector"),
        "get_connector" => answers("Connector"),
        "apply_connector" => takes("ConnectorParam", "Connector"),
        "remove_connector" => answers("Deleted"),
        "accept_connector_tools" => takes("AcceptParam", "Connector"),
        "test_connector" => answers("ConnectorTest"),
        "create_grant" => takes("GrantParam", "Grant"),
        "get_grant" | "revoke_grant" => answers("Grant"),
        "list_grants" => lists("Page_Grant"),
        "get_audit_log" => answers("AuditLog"),
        "list_audit_receipts" => Shape { query: RECEIPTS, ..answers("Page_AuditReceipt") },
        "get_audit_receipt" => answers("AuditReceiptProof"),
        "list_audit_checkpoints" => Shape { query: &["limit", "after"], ..answers("Page_CheckpointResource") },
        "get_audit_consistency" => Shape { query: &["from", "to"], ..answers("ConsistencyProof") },
        "export_audit" => Shape { query: EXPORT, ..answers("binary") },
        "get_agent_reach" => answers("AgentReach"),
        "list_administration" => Shape { query: &["limit", "after"], ..answers("Page_AdministrationEntry") },
        "list_receipts" => Shape { query: &["limit", "after"], ..answers("Page_Receipt") },
        "set_budget" => takes("BudgetParam", "Budget"),
        "list_budgets" => lists("Page_Budget"),
        "delete_budget" => answers("BudgetRemoved"),
        "show_spend" => Shape {
            query: &["from", "until", "by", "limit", "person", "team", "agent", "session", "model", "outcome"],
            ..answers("SpendReport")
        },
        "estimate_spend" => Shape { query: &["agent_id"], ..answers("SpendEstimate") },
        "publish_agent" => takes("PublishParam", "Agent"),
        "list_orphaned_agents" => lists("Page_Agent"),
        _ => return None,
    })
}

/// People, rules, keys and secrets.
fn of_identity(operation: &str) -> Option<Shape> {
    Some(match operation {
        "get_sign_in_ways" => Shape { query: &["organisation"], ..answers("SignInWays") },
        "sign_in" => takes("SignInParam", "SignIn"),
        "set_password" => takes("SetUpParam", "User"),
        "begin_provider_sign_in" => Shape {
            query: &["organisation", "next", "redirect_uri", "state", "code_challenge", "code_challenge_method"],
            leads_on: true,
            ..Shape::default()
        },
        "redeem_provider_sign_in" => takes("RedeemParam", "SignIn"),
        "end_provider_session" => answers("AnyObject"),
        "rotate_token_key" => takes("RotateSigningKeyParam", "AnyObject"),
        "end_provider_sign_in" | "end_organisation_sign_in" => {
            Shape { query: &["code", "state", "iss", "error"], leads_on: true, ..Shape::default() }
        }
        "exchange_token" | "revoke_token" | "get_token_keys" | "get_token_metadata" => answers("AnyObject"),
        "sign_out" => answers("SignedOut"),
        "get_me" => answers("Me"),
        "create_user" => takes("UserParam", "User"),
        "update_user" => takes("UserUpdate", "User"),
        "get_user" | "reset_password" => answers("User"),
        "list_users" => lists("Page_User"),
        "create_team" | "update_team" => takes("TeamParam", "Team"),
        "get_team" => answers("Team"),
        "list_teams" => lists("Page_Team"),
        "get_policy" | "get_policy_version" => answers("Policy"),
        "apply_policy" => takes("PolicyParam", "Policy"),
        "list_policy_versions" => lists("Page_Policy"),
        "validate_policy" => takes("PolicyDraft", "PolicyValidation"),
        "explain_policy" => takes("ExplainParam", "PolicyExplanation"),
        "simulate_policy" => takes("SimulateParam", "PolicySimulation"),
        "create_key" => takes("KeyParam", "Key"),
        "create_vault" => takes("VaultCreateParams", "Vault"),
        "update_vault" => takes("VaultUpdateParams", "Vault"),
        "get_vault" => answers("Vault"),
        "list_vaults" => Shape { query: VAULTS, ..lists("Page_Vault") },
        "create_vault_credential" => takes("VaultCredentialCreateParams", "VaultCredential"),
        "update_vault_credential" => takes("VaultCredentialUpdateParams", "VaultCredential"),
        "get_vault_credential" => answers("VaultCredential"),
        "list_vault_credentials" => Shape { query: VAULTS, ..lists("Page_VaultCredential") },
        "list_keys" => lists("Page_Key"),
        "rotate_encryption_key" => takes("RotateEncryptionKeyParam", "EncryptionKeys"),
        "get_encryption_keys" => answers("EncryptionKeys"),
        "create_tenant" => takes("TenantParam", "Tenant"),
        "list_tenants" => lists("Page_Tenant"),
        "create_tenant_key" => answers("Key"),
        "register_executor" => takes("RegisterParam", "Registration"),
        // JSON-RPC, as the Model Context Protocol has it.
        "call_toolset" => Shape::default(),
        "connect_executor" => Shape::default(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere_and_every_built_route_has_a_shape() {
        let document: Value = serde_json::from_str(&openapi()).unwrap();
        let text = document.to_string();
        for (at, _) in text.match_indices("#/components/schemas/") {
            let name = text[at + 21..].split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        for route in ROUTES {
            assert_eq!(shape(route).is_some(), route.built, "{}", route.operation);
        }
    }
}
