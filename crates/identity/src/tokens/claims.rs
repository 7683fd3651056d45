//! What a token says, and what it must say to be believed.

use bailiwick_ports::{
    Scope,
    tokens::{Actor, MAX_ACTORS, Thumbprint},
};
use bailiwick_types::{AgentId, KeyId, Principal, SessionId, TenantId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

const ID_PREFIX: &str = "jti";
const USER: &str = "user";
const AGENT: &str = "ai_agent";
const AGENT_INSTANCE: &str = "ai_agent client_instance";
/// By how much clocks may differ.
const LEEWAY_SECONDS: i64 = 60;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Claims {
    pub iss: String,
    /// One, always.
    pub aud: String,
    pub exp: i64,
    pub iat: i64,
    pub jti: String,
    sub: String,
    sub_profile: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    act: Option<Box<Act>>,
    scope: String,
    /// The organisation of the person and the agents.
    pub tenant: TenantId,
    /// The key that whoever shows it must hold (RFC 7800, RFC 9449 section 6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
    /// The session of an agent that acts for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_instance_id: Option<SessionId>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    jkt: Thumbprint,
}

/// Who acts, and inside it who delegated to it (RFC 8693, section 4.1).
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Act {
    iss: String,
    sub: AgentId,
    sub_profile: String,
    agent_instance_id: SessionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    act: Option<Box<Act>>,
}

/// What a token is called: `jti_` and a UUIDv7.
pub(super) fn id(now: Timestamp, random: [u8; 10]) -> String {
    KeyId::new(now, random).to_string().replace(KeyId::PREFIX, ID_PREFIX)
}

impl Claims {
    #[allow(clippy::too_many_arguments, reason = "each is one claim")]
    pub fn of(
        issuer: &str,
        tenant: TenantId,
        subject: Option<UserId>,
        actors: &[Actor],
        audience: String,
        scopes: &[Scope],
        (now, expires): (Timestamp, Timestamp),
        id: &str,
        holder: Option<Thumbprint>,
    ) -> Self {
        // The last one stands first in the order of who began.
        let (root, acting) = match (subject, actors.split_last()) {
            (None, Some((root, acting))) => (Some(*root), acting),
            _ => (None, actors),
        };
        let act = acting.iter().rev().fold(None, |inner, actor| {
            Some(Box::new(Act {
                iss: issuer.to_owned(),
                sub: actor.agent,
                sub_profile: AGENT_INSTANCE.into(),
                agent_instance_id: actor.session,
                act: inner,
            }))
        });
        let (sub, sub_profile) = match (subject, root) {
            (Some(person), _) => (person.to_string(), USER),
            (None, Some(root)) => (root.agent.to_string(), AGENT),
            (None, None) => (String::new(), AGENT),
        };
        Self {
            iss: issuer.to_owned(),
            aud: audience,
            exp: expires.as_seconds(),
            iat: now.as_seconds(),
            jti: id.to_owned(),
            sub,
            sub_profile: sub_profile.to_owned(),
            act,
            scope: scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(" "),
            tenant,
            cnf: holder.map(|jkt| Confirmation { jkt }),
            agent_instance_id: root.map(|root| root.session),
        }
    }

    /// Who must show it; `None` when whoever has it may.
    pub fn holder(&self) -> Option<&Thumbprint> {
        self.cnf.as_ref().map(|cnf| &cnf.jkt)
    }

    /// The millisecond in which it was made; `iat` has whole seconds.
    pub fn made(&self) -> Option<Timestamp> {
        let digits = self.jti.strip_prefix(ID_PREFIX)?;
        format!("{}{digits}", KeyId::PREFIX).parse::<KeyId>().ok().map(KeyId::made_at)
    }

    /// Who acts now first.
    pub fn actors(&self) -> Vec<Actor> {
        let mut actors = Vec::new();
        let mut next = self.act.as_deref();
        while let Some(act) = next {
            actors.push(Actor { agent: act.sub, session: act.agent_instance_id });
            next = act.act.as_deref();
        }
        if let (AGENT, Ok(agent), Some(session)) = (self.sub_profile.as_str(), self.sub.parse(), self.agent_instance_id)
        {
            actors.push(Actor { agent, session });
        }
        actors
    }

    /// The person through the agents, or the agent itself.
    pub fn principal(&self) -> Option<Principal> {
        let person = match self.sub_profile.as_str() {
            USER => Some(Principal::User { id: self.sub.parse().ok()? }),
            _ => None,
        };
        self.actors().into_iter().rev().fold(person, |for_whom, actor| {
            Some(Principal::Agent { id: actor.agent, session: actor.session, on_behalf_of: for_whom.map(Box::new) })
        })
    }

    pub fn scopes(&self) -> Vec<Scope> {
        Scope::ALL.into_iter().filter(|scope| self.scope.split(' ').any(|name| name == scope.name())).collect()
    }
}

/// Refuses what we would never have said. Whether a token has expired is for whoever uses it.
pub(super) fn checked(claims: Claims, issuer: &str, now: Timestamp) -> Result<Claims, &'static str> {
    if claims.iss != issuer {
        return Err("it is of another issuer");
    }
    if claims.iat > now.as_seconds() + LEEWAY_SECONDS || claims.exp <= claims.iat {
        return Err("its times make no sense");
    }
    let mut depth = 0;
    let mut next = claims.act.as_deref();
    while let Some(act) = next {
        depth += 1;
        if act.iss != issuer || act.sub_profile != AGENT_INSTANCE || depth > MAX_ACTORS {
            return Err("its actors cannot be believed");
        }
        next = act.act.as_deref();
    }
    match claims.sub_profile.as_str() {
        // Nobody but an agent gets a token of ours: without its actor it was stripped.
        USER if depth > 0 && claims.sub.parse::<UserId>().is_ok() => Ok(claims),
        AGENT if depth < MAX_ACTORS && claims.sub.parse::<AgentId>().is_ok() && claims.agent_instance_id.is_some() => {
            Ok(claims)
        }
        _ => Err("it does not say who acts for whom"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp::from_millis(1_795_260_645_000);
    const OURS: &str = "https://agents.example";

    fn act(inner: Value) -> Value {
        let (sub, session) = (AgentId::new(NOW, [1; 10]), SessionId::new(NOW, [2; 10]));
        let mut act = json!({
            "iss": OURS, "sub": sub, "sub_profile": AGENT_INSTANCE, "agent_instance_id": session,
        });
        if !inner.is_null() {
            act["act"] = inner;
        }
        act
    }

    fn read(more: Value) -> Result<Claims, String> {
        let (tenant, now) = (TenantId::new(NOW, [3; 10]), NOW.as_seconds());
        let mut claims = json!({
            "iss": OURS, "aud": OURS, "iat": now, "exp": now + 600, "jti": id(NOW, [4; 10]), "scope": "",
            "sub": UserId::new(NOW, [5; 10]), "sub_profile": USER, "tenant": tenant, "act": act(Value::Null),
        });
        let fields = claims.as_object_mut().unwrap();
        for (name, value) in more.as_object().unwrap() {
            if value == "absent" { drop(fields.remove(name)) } else { drop(fields.insert(name.clone(), value.clone())) }
        }
        let claims = serde_json::from_value(claims).map_err(|error| error.to_string())?;
        checked(claims, OURS, NOW).map_err(str::to_owned)
    }

    /// Even if somebody could sign: these are none of ours.
    #[test]
    fn a_chain_that_was_stripped_nested_or_foreign_is_not_believed() {
        let deep = (0..4).fold(Value::Null, |inner, _| act(inner));
        assert_eq!(read(json!({"act": deep})).unwrap().actors().len(), 4);
        let foreign = |field: &str, value: Value| {
            let mut inner = act(Value::Null);
            inner[field] = value;
            (act(inner.clone()), inner)
        };
        let (nested_elsewhere, elsewhere) = foreign("iss", json!("https://agents.example.evil"));
        let (nested_person, person) = foreign("sub_profile", json!("user"));
        let (nested_user, user) = foreign("sub", json!(UserId::new(NOW, [5; 10])));
        let agent = json!(AgentId::new(NOW, [1; 10]));
        let now = NOW.as_seconds();
        for (what, more) in [
            ("stripped of its actor", json!({"act": "absent"})),
            ("with no actor", json!({"act": null})),
            ("deeper than four", json!({"act": act(deep)})),
            ("an actor of another issuer", json!({"act": elsewhere})),
            ("the same, nested", json!({"act": nested_elsewhere})),
            ("an actor that is no agent", json!({"act": person})),
            ("the same, nested", json!({"act": nested_person})),
            ("a person who acts", json!({"act": user})),
            ("the same, nested", json!({"act": nested_user})),
            ("several actors", json!({"act": [act(Value::Null)]})),
            ("an agent as the person", json!({"sub": agent})),
            ("an agent for itself without its session", json!({"sub": agent, "sub_profile": AGENT, "act": "absent"})),
            ("somebody of no kind", json!({"sub_profile": "service"})),
            ("several audiences", json!({"aud": [OURS, "https://erp.example"]})),
            ("another issuer", json!({"iss": "https://agents.example.evil"})),
            ("no organisation", json!({"tenant": "tenant_0"})),
            ("made in the future", json!({"iat": now + 61, "exp": now + 661})),
            ("over before it began", json!({"exp": now})),
            ("a binding that is not understood", json!({"cnf": {"x5t#S256": "x"}})),
        ] {
            assert!(read(more).is_err(), "{what}");
        }
    }
}
