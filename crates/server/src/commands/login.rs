//! `bailiwick login` and `logout`: a person at a command line.

mod provider;

use super::{people::server_of, text, time};
use crate::{
    cli::{Login, Logout},
    client::{Client, SavedLogin, encode},
    failure::{Doing as _, Failure, Outcome},
    terminal::{Terminal, ask, escape},
};
use serde_json::{Value, json};

pub async fn login(options: Login, terminal: Terminal) -> Outcome {
    let client = Client::stranger(&server_of(&options.server))?;
    let organisation = options.organisation.as_deref();
    if options.set_up {
        let code = ask::secret("code: ").doing(|| "read the code".to_owned())?;
        let password = ask::secret("new password: ").doing(|| "read the password".to_owned())?;
        let again = ask::secret("once more: ").doing(|| "read the password".to_owned())?;
        if password != again {
            return Err(Failure::usage("the two passwords differ").help("try again: the code is still good"));
        }
        let body = json!({"code": code.expose(), "password": password.expose()});
        let user = client.post("/bailiwick/v1/sign-in/set-up", &body).await?;
        let name = text(&user, "login").to_owned();
        return sign_in(&client, organisation, &name, password.expose(), terminal).await;
    }
    if options.login.is_none() && !options.password {
        let named = organisation.map(|named| format!("?organisation={}", encode(named))).unwrap_or_default();
        let ways = client.get(&format!("/bailiwick/v1/sign-in{named}")).await?;
        if ways["provider"] == true {
            return provider::sign_in(&client, organisation, terminal).await;
        }
    }
    let name = match options.login {
        Some(name) => name,
        None => ask::line("login: ").doing(|| "read the login".to_owned())?,
    };
    let password = ask::secret("password: ").doing(|| "read the password".to_owned())?;
    sign_in(&client, organisation, &name, password.expose(), terminal).await
}

async fn sign_in(
    client: &Client,
    organisation: Option<&str>,
    login: &str,
    password: &str,
    terminal: Terminal,
) -> Outcome {
    let mut body = json!({"login": login, "password": password, "medium": "bearer"});
    if let Some(organisation) = organisation {
        body["organisation"] = json!(organisation);
    }
    let signed = client.post("/bailiwick/v1/sign-in", &body).await?;
    keep(client, signed, terminal)
}

/// Keeps a sign-in for the commands that follow.
fn keep(client: &Client, mut signed: Value, terminal: Terminal) -> Outcome {
    let token = signed["token"].take();
    let token = token.as_str().ok_or_else(|| Failure::failed("the server's answer holds no token"))?;
    SavedLogin::keep(client.base(), token).doing(|| "keep the sign-in".to_owned())?;
    if let Some(fields) = signed.as_object_mut() {
        fields.remove("token");
    }
    terminal.result(&signed, || {
        let user = &signed["user"];
        let until = time(&signed["expires_at"]);
        format!(
            "signed in as {} at {} until {until} UTC\n",
            escape::line(text(user, "name")),
            escape::line(client.base())
        )
    });
    Ok(())
}

pub async fn logout(options: Logout, terminal: Terminal) -> Outcome {
    let client = Client::of(&server_of(&options.server))?;
    let ended = client.post("/bailiwick/v1/sign-out", &json!({})).await;
    // What is forgotten here is of no use any more, whatever the server says.
    SavedLogin::forget(client.base()).doing(|| "forget the sign-in".to_owned())?;
    let ended = ended?;
    terminal.result(&ended, || {
        let base = escape::line(client.base());
        match ended["provider_url"].as_str() {
            Some(url) => format!(
                "signed out at {base}\nto sign out at the identity provider too, open\n  {}\n",
                escape::line(url)
            ),
            None => format!("signed out at {base}\n"),
        }
    });
    Ok(())
}
