//! How people prove who they are: a password here, or an identity provider. The implementation is in `identity`.

use crate::people::User;
use async_trait::async_trait;
use bailiwick_types::{Secret, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Where a sign-in lives, and so how it is shown with each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Medium {
    /// A cookie. Requests that change something also carry the page token.
    Browser,
    /// A bearer token, for the command line.
    Bearer,
}

/// What somebody says to be let in.
#[derive(Debug, Clone)]
pub struct PasswordAttempt {
    /// The organisation that they are of, by its name or id; `None` is the first of the server.
    pub organisation: Option<String>,
    pub login: String,
    pub password: Secret,
    /// Where the request came from; `None` on the administration socket.
    pub address: Option<IpAddr>,
    pub medium: Medium,
}

/// A person who was let in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub user: User,
    /// The cookie's value or the bearer token. Shown this once.
    pub token: Secret,
    pub expires: Timestamp,
}

/// Texts tell nothing about who has an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    #[error("this name and password do not belong together")]
    Wrong,
    #[error("this code is not known here: it was used, has expired, or is mistyped")]
    WrongCode,
    /// Too many attempts; the seconds until the next.
    #[error("too many attempts: try again in {0} s")]
    TooMany(u32),
    #[error("`password`: {0}")]
    Password(String),
    /// The identity provider, or what came back from it, does not prove who this is.
    #[error("{0}")]
    Provider(String),
    /// They proved who they are, and may not come in.
    #[error("{0}")]
    Refused(String),
    #[error("nobody can sign in that way here: {0}")]
    NotConfigured(&'static str),
    #[error("nobody can sign in now: {0}")]
    Unavailable(String),
}

/// A command line that waits on the person's own machine (RFC 8252): how the browser comes back to it, and what proves
/// that it is the one that began (RFC 7636).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// `http://127.0.0.1:PORT/` or `http://[::1]:PORT/`.
    pub redirect_uri: String,
    /// Given back as it is.
    pub state: String,
    /// Of the method `S256`.
    pub challenge: String,
}

/// What a sign-in at the identity provider is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A page on this server, by its path.
    Page(String),
    CommandLine(HandOver),
}

/// Somebody came back from the identity provider, who says who they are.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// They are signed in in this browser, which goes to a path on this server.
    Browser { signed: SignedIn, next: String },
    /// The browser carries a code to the command line, which redeems it.
    CommandLine { url: String },
}

/// Where a browser goes next, with what it has to bring back.
#[derive(Debug, Clone)]
pub struct Departure {
    pub url: String,
    /// The value of a short-lived cookie that ties the way back to this browser.
    pub cookie: Secret,
}

/// What an identity provider sent a browser back with.
#[derive(Debug, Clone, Default)]
pub struct Return {
    pub code: Option<String>,
    pub state: Option<String>,
    /// RFC 9207.
    pub issuer: Option<String>,
    /// The provider's reason why there is no code.
    pub error: Option<String>,
}

/// Lets people in and out.
#[async_trait]
pub trait SignIn: Send + Sync {
    async fn by_password(&self, attempt: PasswordAttempt) -> Result<SignedIn, SignInError>;
    /// Chooses a password with a set-up code, and takes the code away.
    async fn set_password(&self, code: &str, password: Secret, address: Option<IpAddr>) -> Result<User, SignInError>;
    /// What a page of ours sends along in `x-bailiwick-page` with a cookie, because other pages cannot know it.
    fn page_token(&self, cookie: &str) -> String;
    /// Ends one sign-in, whatever its medium. Nothing to end is not an error. Says whether the identity provider had
    /// let this person in.
    async fn sign_out(&self, token: &str) -> Result<bool, SignInError>;

    /// Whether people of this organisation may come from an identity provider. An organisation that there is not has none.
    async fn has_provider(&self, _organisation: Option<&str>) -> Result<bool, SignInError> {
        Ok(false)
    }
    /// The name for itself of the identity provider of an organisation's people, if there is one.
    async fn provider_of(&self, _tenant: TenantId) -> Result<Option<String>, SignInError> {
        Ok(None)
    }
    /// Begins a sign-in at the identity provider of an organisation. It sends the browser back to `callback` for the
    /// first organisation, and to `callback/ID` for another: each to an address of its own, so that an answer which one
    /// provider gave is never taken for another's.
    async fn depart(
        &self,
        _organisation: Option<&str>,
        _callback: &str,
        _destination: Destination,
    ) -> Result<Departure, SignInError> {
        Err(SignInError::NotConfigured("there is no `[identity.oidc]` in the configuration"))
    }
    /// Ends it; `callback` is the address that the browser came back to.
    async fn arrive(&self, _callback: &str, _cookie: &str, _back: Return) -> Result<Arrival, SignInError> {
        Err(SignInError::NotConfigured("there is no `[identity.oidc]` in the configuration"))
    }
    /// Gives a command line its sign-in for the code that a browser brought it, with the verifier of its challenge.
    async fn redeem(&self, _code: &str, _verifier: &Secret, _address: Option<IpAddr>) -> Result<SignedIn, SignInError> {
        Err(SignInError::NotConfigured("there is no `[identity.oidc]` in the configuration"))
    }
    /// Ends what a logout token of the identity provider says is over (OpenID Connect Back-Channel Logout 1.0).
    async fn logged_out(&self, _logout_token: &str) -> Result<(), SignInError> {
        Err(SignInError::NotConfigured("there is no `[identity.oidc]` in the configuration"))
    }
    /// Where a browser goes to sign out at the organisation's identity provider as well; `None` when it has no such place.
    async fn farewell(&self, _tenant: TenantId, _back_to: &str) -> Option<String> {
        None
    }
}
