//! What the tests of this room share: a way over HTTP, clocks, a server with a script.

#![allow(dead_code, reason = "each test file uses its part of this")]

pub mod peer;

use async_trait::async_trait;
use bailiwick_gate::Live;
use bailiwick_mcp::{
    Access, Called, Client, Definition, Http, HttpError, HttpRequest, HttpResponse, McpServer, Method, ToolCall,
    TransportConfig,
};
use bailiwick_ports::{BoxFuture, Clock};
use bailiwick_types::{Secret, Timestamp};
use futures_util::StreamExt as _;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use url::Url;

/// HTTP over real connections, without the rules for addresses.
pub struct Web(reqwest::Client);

impl Web {
    pub fn new() -> Arc<Self> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
        Arc::new(Self(client))
    }
}

#[async_trait]
impl Http for Web {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut sent = self.0.request(method, request.url).body(request.body);
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        if let Some(authorization) = &request.authorization {
            sent = sent.header("authorization", authorization.expose());
        }
        let response = sent.send().await.map_err(|error| match error.is_connect() {
            true => HttpError::Unreachable("nobody listens there".into()),
            false => HttpError::Lost("the connection broke".into()),
        })?;
        let text = |(name, value): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        Ok(HttpResponse {
            status: response.status().as_u16(),
            headers: response.headers().iter().filter_map(text).collect(),
            body: response
                .bytes_stream()
                .map(|chunk| chunk.map_err(|_| HttpError::Lost("the connection broke".into())))
                .boxed(),
        })
    }
}

/// Real time, for servers that are real processes.
pub struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64)
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let span = until.since(self.now()).as_duration();
        Box::pin(async move { tokio::time::sleep(span).await })
    }
}

pub fn access() -> Access {
    Access { bearer: None, who: "bailiwick (test)".into(), output_bytes: 100_000 }
}

pub fn with_token(token: &str) -> Access {
    Access { bearer: Some(Secret::new(token)), ..access() }
}

pub fn over(url: &Url) -> McpServer {
    McpServer::new(TransportConfig::Http { url: url.clone(), headers: BTreeMap::new() })
}

pub fn client(url: &Url, clock: Arc<dyn Clock>, server: McpServer) -> Client {
    Client::over_http(Web::new(), clock, server, url.clone(), BTreeMap::new())
}

/// The tool of this name among those that a server lists.
pub async fn tool(client: &Client, name: &str) -> Definition {
    let listed = client.tools(&access(), &Live::unwatched()).await.unwrap();
    listed.tools.into_iter().find(|tool| tool.name == name).unwrap_or_else(|| panic!("there is no `{name}`"))
}

pub async fn call(client: &Client, tool: &Definition, arguments: Value) -> Called {
    let call = ToolCall { tool, arguments: &arguments, replies: BTreeMap::new(), resume: None };
    client.call(&access(), &call, &Live::unwatched(), &|_| ()).await
}

/// All the text of an answer.
pub fn text(called: &Called) -> String {
    match called {
        Called::Answered { content, .. } => bailiwick_core::joined_text(content),
        other => panic!("{other:?}"),
    }
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
