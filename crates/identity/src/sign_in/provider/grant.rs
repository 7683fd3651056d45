//! Grants for another authorization server that the identity provider vouches to (ID-JAG,
//! draft-ietf-oauth-identity-assertion-authz-grant-03, section 4.3): a token exchange (RFC 8693) of what proves that
//! somebody is signed in for an assertion about them, made for one audience.

use super::Provider;
use crate::{
    assertion_grant::{AccessError, Wanted},
    oauth::Answer,
};
use bailiwick_types::Secret;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const REFRESH_TOKEN: &str = "urn:ietf:params:oauth:token-type:refresh_token";

/// What proves to the provider that somebody is signed in here.
pub(in crate::sign_in) enum SubjectToken {
    Id(Secret),
    /// Where a renewal brings no ID token.
    Refresh(Secret),
}

impl Provider {
    pub(in crate::sign_in) async fn grant(
        &self,
        subject: &SubjectToken,
        wanted: &Wanted<'_>,
    ) -> Result<Secret, AccessError> {
        let unavailable = |problem: &str| AccessError::Unavailable(format!("the identity provider: {problem}"));
        let metadata = self.discovery.metadata().await.map_err(|error| unavailable(&error.to_string()))?;
        let (token, kind) = match subject {
            SubjectToken::Id(token) => (token, ID_TOKEN),
            SubjectToken::Refresh(token) => (token, REFRESH_TOKEN),
        };
        let mut fields = vec![
            ("grant_type", EXCHANGE),
            ("requested_token_type", ID_JAG),
            ("audience", wanted.audience),
            ("resource", wanted.resource),
            ("subject_token", token.expose()),
            ("subject_token_type", kind),
        ];
        fields.extend(wanted.scope.map(|scope| ("scope", scope)));
        let asked = self.client(&metadata).ask(&*self.options.web, &metadata.token_endpoint, fields, None).await;
        match asked.map_err(|problem| unavailable(&problem))? {
            Answer::Granted(granted) if granted.issued_token_type.as_deref() == Some(ID_JAG) => {
                Ok(Secret::new(granted.access_token))
            }
            // An answer to another question must not be sent to anybody.
            Answer::Granted(_) => Err(AccessError::Unsupported("it answers with another kind of token".into())),
            Answer::Refused(code) => Err(match code.as_str() {
                "unsupported_grant_type" | "invalid_request" | "unsupported_token_type" => {
                    AccessError::Unsupported(format!("it answers `{code}`"))
                }
                "temporarily_unavailable" | "server_error" | "slow_down" => {
                    unavailable(&format!("it answers `{code}`"))
                }
                _ => AccessError::Refused(format!("the identity provider answers `{code}`")),
            }),
        }
    }
}
