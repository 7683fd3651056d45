//! Tokens that a company's identity provider vouches for (enterprise-managed authorization: the identity assertion
//! authorization grant, draft-ietf-oauth-identity-assertion-authz-grant). Nobody visits a page: the provider says for
//! each server whether this person may use it, and what it gives is good at that server's issuer only.

use super::{
    Authorizer, ClientIdentity, Discovery, OauthError, Tokens,
    discovery::text,
    flow::{Asked, is_token},
};
use crate::message::quoted;
use bailiwick_ports::vault::{ClientAuth, OauthRefresh};
use bailiwick_types::Secret;
use url::Url;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ASSERTION: &str = "urn:ietf:params:oauth:token-type:id-jag";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// The company's identity provider, as we are known there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    pub token_endpoint: Url,
    pub client_id: String,
    pub auth: ClientAuth,
    pub secret: Option<Secret>,
}

impl Authorizer {
    /// A token for the server of `at`, for the person of this ID token, which their sign-in here gave and which goes to
    /// the provider that issued it and to nobody else.
    pub async fn by_identity(
        &self,
        provider: &IdentityProvider,
        id_token: &Secret,
        at: &Discovery,
        client: &ClientIdentity,
    ) -> Result<Tokens, OauthError> {
        let assertion = self.assertion(provider, id_token, at).await?;
        let renewal = OauthRefresh {
            client_id: client.client_id.clone(),
            token_endpoint: at.token_endpoint.to_string(),
            client_auth: client.auth,
            scope: at.scope.clone(),
            resource: Some(at.resource.clone()),
            binds: false,
        };
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", BEARER)
            .append_pair("assertion", assertion.expose())
            .finish();
        self.tokens(form, renewal, client.secret.as_ref()).await
    }

    async fn assertion(
        &self,
        provider: &IdentityProvider,
        id_token: &Secret,
        at: &Discovery,
    ) -> Result<Secret, OauthError> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", EXCHANGE)
            .append_pair("requested_token_type", ASSERTION)
            .append_pair("audience", &at.issuer)
            .append_pair("resource", &at.resource)
            .append_pair("subject_token", id_token.expose())
            .append_pair("subject_token_type", ID_TOKEN)
            .extend_pairs(at.scope.iter().map(|scope| ("scope", scope)))
            .finish();
        let asked = Asked {
            place: provider.token_endpoint.clone(),
            client_id: &provider.client_id,
            auth: provider.auth,
            secret: provider.secret.as_ref(),
        };
        let fetched = self.form(asked, form).await?;
        let object = fetched.object.unwrap_or_default();
        if fetched.status != 200 {
            let words = text(&object, "error_description").or(text(&object, "error")).unwrap_or_default();
            let said = format!("the identity provider vouches for nobody here, in its own words: `{}`", quoted(&words));
            return Err(match (text(&object, "error").as_deref(), fetched.status) {
                (_, 429 | 500..=599) => OauthError::Unavailable(said),
                (Some("invalid_grant" | "login_required"), _) => OauthError::NeedsPerson(said),
                _ => OauthError::Misconfigured(said),
            });
        }
        let is_assertion = text(&object, "issued_token_type").as_deref() == Some(ASSERTION);
        let token = text(&object, "access_token").filter(|token| is_assertion && is_token(token));
        token.map(Secret::new).ok_or_else(|| {
            OauthError::Refused("the identity provider answered with something that is no identity assertion".into())
        })
    }
}
