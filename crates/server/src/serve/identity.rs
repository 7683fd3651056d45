//! Who works here and how they sign in: the directory and the sign-ins, as the configuration says.

use super::{secrets::Secrets, web::Outside};
use crate::{
    config::{Identity, Loaded, OpenId},
    failure::{Doing as _, Failure, Outcome},
};
use bailiwick_identity::{
    Issuer, Lives, Mapping, PasswordCost, Provider, ProviderOptions, Roster, SignInOptions, SignIns, TokenOptions,
};
use bailiwick_ports::{Administration, Clock, Keys, Random, Store};
use bailiwick_types::{Millis, TenantId};
use std::sync::Arc;

/// What the directory stands on.
pub(super) struct Ground {
    pub store: Arc<dyn Store>,
    pub keys: Arc<dyn Keys>,
    pub administration: Arc<dyn Administration>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
}

/// Reads the directory, and makes the sign-ins of its people.
pub(super) async fn build(
    loaded: &Loaded,
    secrets: &Secrets,
    tenant: TenantId,
    ground: Ground,
) -> Outcome<(Arc<Roster>, Arc<SignIns>, Option<Arc<Issuer>>)> {
    let Ground { store, keys, administration, clock, random } = ground;
    let identity = &loaded.config.identity;
    let provider = match &identity.oidc {
        Some(oidc) => Some(provider(loaded, oidc, secrets, &clock, &random)?),
        None => None,
    };
    let roster = Roster::load(store, keys, administration, clock, random);
    let roster = Arc::new(roster.await.doing(|| "read the directory".to_owned())?);
    let cost = PasswordCost::default();
    let options = SignInOptions { tenant, roster: Arc::clone(&roster), cost, lives: lives(identity), provider };
    let sign_ins = Arc::new(options.build());
    let Some(url) = &loaded.config.server.public_url else { return Ok((roster, sign_ins, None)) };
    let options = TokenOptions {
        tenant,
        issuer: url.trim_end_matches('/').to_owned(),
        audiences: identity.token_audiences.clone(),
        key_age: Some(Millis::from_secs(u64::from(identity.signing_key_days) * 24 * 3600)),
        roster: Arc::clone(&roster),
        sign_ins: Arc::clone(&sign_ins),
    };
    let issuer = options.build().await.doing(|| "read the keys of tokens".to_owned())?;
    Ok((roster, sign_ins, Some(Arc::new(issuer))))
}

fn lives(identity: &Identity) -> Lives {
    let hours = |hours: u32| Millis::from_secs(u64::from(hours) * 3600);
    let recheck = identity.oidc.as_ref().map(|oidc| Millis::from_secs(u64::from(oidc.recheck_minutes) * 60));
    Lives {
        browser: hours(identity.browser_hours),
        bearer: hours(identity.bearer_days * 24),
        recheck: recheck.unwrap_or(Lives::default().recheck),
    }
}

fn provider(
    loaded: &Loaded,
    oidc: &OpenId,
    secrets: &Secrets,
    clock: &Arc<dyn Clock>,
    random: &Arc<dyn Random>,
) -> Outcome<Provider> {
    let wrong = |problem: String| {
        Failure::usage(loaded.identity_error(&problem).to_string())
            .help("every key is described in docs/configuration.md")
    };
    let client_secret = match &oidc.client_secret_env {
        None => None,
        Some(variable) => match secrets.get(variable) {
            Some(secret) => Some(secret.clone()),
            None => return Err(wrong(format!("the environment variable `{variable}` is not set"))),
        },
    };
    let options = ProviderOptions {
        issuer: oidc.issuer.clone(),
        client_id: oidc.client_id.clone(),
        client_secret,
        scopes: oidc.scopes.clone(),
        mapping: Mapping {
            groups_claim: oidc.groups_claim.clone(),
            roles: oidc.roles.clone(),
            teams: oidc.teams.clone(),
            default_roles: oidc.default_roles.clone(),
            provision: oidc.provision,
        },
        plain_http: oidc.private_network,
        web: Arc::new(Outside::new(oidc.private_network).map_err(Failure::failed)?),
        clock: Arc::clone(clock),
        random: Arc::clone(random),
    };
    options.build().map_err(|error| wrong(error.to_string()))
}
