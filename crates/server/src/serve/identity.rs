//! Who works here and how they come in: keys, the directory, sign-ins, tokens and vaults, as the configuration says.

use super::{
    compose::World,
    kept::Kept,
    secrets::{BOOTSTRAP_KEY, Secrets},
    web::Outside,
};
use crate::{
    config::{Identity, Loaded, OpenId},
    failure::{Doing as _, Failure, Outcome},
};
use bailiwick_identity::{
    AssertionGrants, Bootstrapped, Credentials, Issuer, Lives, Mapping, PasswordCost, ProofKeys, Provider,
    ProviderOptions, Reception, Roster, SignInOptions, SignIns, Strongroom, TokenOptions,
};
use bailiwick_ports::Administration;
use bailiwick_types::{Millis, TenantId};
use std::{collections::BTreeMap, sync::Arc};

/// Who is known here, and what is kept for them.
pub(super) struct People {
    /// The organisation with which the server began.
    pub tenant: TenantId,
    pub administration: Arc<dyn Administration>,
    pub credentials: Arc<Credentials>,
    pub roster: Arc<Roster>,
    pub sign_ins: Arc<SignIns>,
    /// `None` while the server has no URL under which it issues tokens.
    pub issuer: Option<Arc<Issuer>>,
    pub strongroom: Arc<Strongroom>,
    /// Which tokens of other systems go out with a proof.
    pub proofs: Arc<ProofKeys>,
}

impl People {
    /// Reads who there is, and makes what lets them in.
    pub async fn build(loaded: &Loaded, secrets: &Secrets, kept: &Kept, world: &World) -> Outcome<Self> {
        let administration = kept.administration(world);
        let parts = || {
            let (store, keys, administration) =
                (Arc::clone(&kept.metered), Arc::clone(&kept.keys), Arc::clone(&administration));
            (store, keys, administration, Arc::clone(&world.clock), Arc::clone(&world.random))
        };
        let (store, keys, changes, clock, random) = parts();
        let credentials = Arc::new(Credentials::new(store, keys, changes, clock, random));
        let tenant = credentials.bootstrap_tenant().await.doing(|| "prepare the data folder".to_owned())?.id;
        bootstrap_key(&credentials, tenant, secrets).await?;
        let (store, keys, changes, clock, random) = parts();
        let roster = Roster::load(store, keys, changes, clock, random);
        let roster = Arc::new(roster.await.doing(|| "read the directory".to_owned())?);
        let sign_ins = sign_ins(loaded, secrets, tenant, &roster, world)?;
        let issuer = issuer(loaded, tenant, &roster, &sign_ins).await?;
        let (store, keys, changes, clock, random) = parts();
        let room = Strongroom::load(store, keys, changes, clock, random);
        let room = room.await.doing(|| "read the vaults".to_owned())?;
        let private = loaded.config.vaults.private_network;
        let web = Arc::new(Outside::new(private).map_err(Failure::failed)?);
        let proofs = Arc::new(ProofKeys::new(Arc::clone(&world.clock), Arc::clone(&world.random)));
        let grants = AssertionGrants::new(Arc::clone(&sign_ins), web.clone(), Arc::clone(&proofs), private);
        let room = room.with_proofs(Arc::clone(&proofs)).with_grants(grants);
        let strongroom = room.with_web(web, Arc::clone(&world.tasks));
        Ok(Self { tenant, administration, credentials, roster, sign_ins, issuer, strongroom, proofs })
    }

    /// Who tells who somebody is.
    pub fn reception(&self) -> Reception {
        Reception {
            credentials: Arc::clone(&self.credentials),
            sign_ins: Arc::clone(&self.sign_ins),
            issuer: self.issuer.clone(),
        }
    }
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

/// The sign-ins of every organisation's people, as the configuration says.
fn sign_ins(
    loaded: &Loaded,
    secrets: &Secrets,
    tenant: TenantId,
    roster: &Arc<Roster>,
    world: &World,
) -> Outcome<Arc<SignIns>> {
    let identity = &loaded.config.identity;
    let (mut first, mut others) = (None, BTreeMap::new());
    for (organisation, oidc) in identity.providers() {
        let provider = provider(loaded, organisation, oidc, secrets, world)?;
        match organisation {
            None => first = Some(provider),
            Some(name) => drop(others.insert(name.to_owned(), provider)),
        }
    }
    let (roster, cost, lives) = (Arc::clone(roster), PasswordCost::default(), lives(identity));
    let tasks = Arc::clone(&world.tasks);
    Ok(Arc::new(SignInOptions { tenant, roster, cost, lives, provider: first, others, tasks }.build()))
}

async fn issuer(
    loaded: &Loaded,
    tenant: TenantId,
    roster: &Arc<Roster>,
    sign_ins: &Arc<SignIns>,
) -> Outcome<Option<Arc<Issuer>>> {
    let identity = &loaded.config.identity;
    let Some(url) = &loaded.config.server.public_url else { return Ok(None) };
    let options = TokenOptions {
        tenant,
        issuer: url.trim_end_matches('/').to_owned(),
        audiences: identity.token_audiences.clone(),
        key_age: Some(Millis::from_secs(u64::from(identity.signing_key_days) * 24 * 3600)),
        roster: Arc::clone(roster),
        sign_ins: Arc::clone(sign_ins),
    };
    let issuer = options.build().await.doing(|| "read the keys of tokens".to_owned())?;
    Ok(Some(Arc::new(issuer)))
}

fn lives(identity: &Identity) -> Lives {
    let hours = |hours: u32| Millis::from_secs(u64::from(hours) * 3600);
    // The shortest counts for all: nobody stays for longer than their own provider was promised.
    let recheck = identity.providers().map(|(_, oidc)| oidc.recheck_minutes).min();
    let recheck = recheck.map(|minutes| Millis::from_secs(u64::from(minutes) * 60));
    Lives {
        browser: hours(identity.browser_hours),
        bearer: hours(identity.bearer_days * 24),
        recheck: recheck.unwrap_or(Lives::default().recheck),
    }
}

fn provider(
    loaded: &Loaded,
    organisation: Option<&str>,
    oidc: &OpenId,
    secrets: &Secrets,
    world: &World,
) -> Outcome<Provider> {
    let wrong = |problem: String| {
        Failure::usage(loaded.identity_error(organisation, &problem).to_string())
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
        clock: Arc::clone(&world.clock),
        random: Arc::clone(&world.random),
    };
    options.build().map_err(|error| wrong(error.to_string()))
}
