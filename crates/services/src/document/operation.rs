//! Operations of a document: where each goes, what it takes, and what a model is told about it.

use super::{
    Document, MAX_OPERATIONS, Names,
    schema::{Converter, shortened, sorted},
    shown,
};
use bailiwick_core::{Effect, ToolDefinition};
use bailiwick_outbound::Method;
use serde_json::{Map, Value, json};

/// Parameters of one operation.
const MAX_PARAMETERS: usize = 100;
/// What the arguments of all tools of a document may have together.
const MAX_SCHEMAS_BYTES: usize = 16 * 1024 * 1024;
const MAX_SUMMARY: usize = 120;
const MAX_DESCRIPTION: usize = 1200;
/// Parameters of headers that the document has no say in (OpenAPI 3.1, "Parameter Object"), and that belong to the client.
const NOT_TAKEN: [&str; 3] = ["accept", "content-type", "authorization"];

#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub definition: ToolDefinition,
    /// `GET /invoices/{id}`.
    pub key: String,
    pub id: Option<String>,
    pub method: Method,
    pub path: String,
    /// Of the operation or its path, where they differ from the document's.
    pub server: Option<String>,
    pub parameters: Vec<Parameter>,
    pub body: Option<Body>,
    /// Alternatives, each of names of schemes that are all needed. Empty: none is needed.
    pub security: Vec<Vec<String>>,
    /// A header that takes the action's id.
    pub idempotency: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    /// What the model calls it.
    pub argument: String,
    pub name: String,
    pub place: Place,
    pub style: Style,
    pub explode: bool,
    pub required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Simple,
    Label,
    Matrix,
    Form,
    Spaces,
    Pipes,
    Deep,
    /// A JSON text (`content` instead of `schema`).
    Json,
}

#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub argument: String,
    pub required: bool,
    pub media_type: String,
    pub kind: BodyKind,
    /// What the document says about the fields of a form.
    pub encoding: Value,
    /// The schema as it stands, for the fields of a form that are bytes.
    pub binary: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    Json,
    Form,
    Multipart,
    Text,
}

/// What a document has.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    /// Those that were wanted and can be tools.
    pub found: Vec<Operation>,
    /// Those that were wanted and cannot, by method and path, and why.
    pub left_out: Vec<(String, String)>,
    /// Every one, by its id and by method and path.
    pub known: Vec<(Option<String>, String)>,
}

/// Reads the operations that are `wanted`, by their ids and their methods and paths. The order is that of paths and
/// methods, and each has a name whether it is wanted or not, so that names stay what they are.
pub(crate) fn operations(document: &Document, wanted: impl Fn(Option<&str>, &str) -> bool) -> Operations {
    let (mut all, mut names, mut left_bytes) = (Operations::default(), Names::default(), MAX_SCHEMAS_BYTES);
    let paths = document.root().get("paths").and_then(Value::as_object);
    for (path, item) in paths.map(sorted).unwrap_or_default() {
        if path.starts_with("x-") {
            continue;
        }
        let item = match document.resolve(item) {
            Ok(item) => item,
            Err(problem) => {
                all.left_out.push((shown(path), problem));
                continue;
            }
        };
        for (verb, method) in METHODS {
            let Some(operation) = item.get(verb).filter(|operation| operation.is_object()) else { continue };
            let reader = Reader { document, item, operation, path };
            let key = format!("{} {path}", method.as_str());
            if all.known.len() >= MAX_OPERATIONS {
                all.left_out.push((shown(&key), format!("the document has more than {MAX_OPERATIONS} operations")));
                return all;
            }
            let id = reader.text(operation, "operationId", 200);
            let spelt = format!("{}_{path}", method.as_str().to_lowercase());
            let name = names.give(id.as_deref().unwrap_or(&spelt), "operation");
            all.known.push((id.clone(), key.clone()));
            if !wanted(id.as_deref(), &key) {
                continue;
            }
            let read = match left_bytes {
                0 => Err("the tools' schemas are too large together: list fewer operations".to_owned()),
                _ => reader.read(name, id, &key, method),
            };
            match read {
                Ok(operation) => {
                    left_bytes = left_bytes.saturating_sub(operation.definition.parameters.to_string().len());
                    all.found.push(operation);
                }
                Err(problem) => all.left_out.push((shown(&key), problem)),
            }
        }
    }
    all
}

const METHODS: [(&str, Method); 7] = [
    ("delete", Method::DELETE),
    ("get", Method::GET),
    ("head", Method::HEAD),
    ("options", Method::OPTIONS),
    ("patch", Method::PATCH),
    ("post", Method::POST),
    ("put", Method::PUT),
];

struct Reader<'d> {
    document: &'d Document,
    item: &'d Value,
    operation: &'d Value,
    path: &'d str,
}

impl<'d> Reader<'d> {
    fn read(&self, name: String, id: Option<String>, key: &str, method: Method) -> Result<Operation, String> {
        if !self.path.starts_with('/')
            || self.path.contains(['?', '#', '\\'])
            || self.path.chars().any(char::is_control)
        {
            return Err("its path must begin with `/` and hold no query".into());
        }
        let mut converter = Converter::new(self.document);
        let mut schema = Arguments::default();
        let (mut parameters, mut idempotency) = (Vec::new(), None);
        for parameter in self.parameters()? {
            let read = self.parameter(parameter, &mut converter, &mut schema)?;
            match read {
                Some(read) if read.place == Place::Header && is_idempotency(&read.name) => {
                    schema.remove(&read.argument);
                    idempotency = Some(read.name);
                }
                Some(read) => parameters.push(read),
                None => {}
            }
        }
        self.check_path(&parameters)?;
        let body = self.body(&mut converter, &mut schema)?;
        let mut effect = effect_of(&method);
        if effect == Effect::Write && idempotency.is_some() {
            effect = Effect::Idempotent;
        }
        let definition = ToolDefinition {
            name,
            title: self.text(self.operation, "summary", MAX_SUMMARY),
            description: self.description(key),
            parameters: schema.whole(converter.definitions()?),
            effect,
        };
        let (path, security, server) = (self.path.to_owned(), self.security(), self.server());
        Ok(Operation {
            definition,
            key: key.to_owned(),
            id,
            method,
            path,
            server,
            parameters,
            body,
            security,
            idempotency,
        })
    }

    fn text(&self, of: &Value, name: &str, limit: usize) -> Option<String> {
        let text = of.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())?;
        Some(shortened(text, limit))
    }

    fn description(&self, key: &str) -> String {
        let said =
            ["summary", "description"].iter().filter_map(|name| self.text(self.operation, name, MAX_DESCRIPTION));
        let mut parts: Vec<String> = said.collect();
        parts.dedup();
        if parts.is_empty() {
            parts.extend(self.text(self.item, "summary", MAX_SUMMARY));
        }
        if self.operation.get("deprecated").and_then(Value::as_bool) == Some(true) {
            parts.push("Deprecated by the service.".into());
        }
        parts.push(format!("({})", shown(key)));
        parts.join("\n")
    }

    /// Those of the path and of the operation, which go before.
    fn parameters(&self) -> Result<Vec<&'d Value>, String> {
        let of = |value: &'d Value| value.get("parameters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let identity = |value: &Value| (value.get("name").cloned(), value.get("in").cloned());
        let mut all: Vec<&Value> = Vec::new();
        for parameter in of(self.operation).iter().chain(of(self.item)) {
            let parameter = self.document.resolve(parameter)?;
            if !all.iter().any(|known| identity(known) == identity(parameter)) {
                all.push(parameter);
            }
        }
        // Those of the path are named first: they matter most.
        all.sort_by_key(|parameter| parameter.get("in").and_then(Value::as_str) != Some("path"));
        if all.len() > MAX_PARAMETERS { Err(format!("it has more than {MAX_PARAMETERS} parameters")) } else { Ok(all) }
    }

    fn parameter(
        &self,
        value: &Value,
        converter: &mut Converter<'_>,
        schema: &mut Arguments,
    ) -> Result<Option<Parameter>, String> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let name = text("name").filter(|name| !name.is_empty()).ok_or("a parameter has no name")?.to_owned();
        let place = match text("in") {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") if NOT_TAKEN.iter().any(|not| name.eq_ignore_ascii_case(not)) => return Ok(None),
            Some("header") => Place::Header,
            Some("cookie") => Place::Cookie,
            _ => {
                return Err(format!(
                    "the parameter `{}` is nowhere: `in` must be path, query, header or cookie",
                    shown(&name)
                ));
            }
        };
        let content = value.get("content").and_then(Value::as_object).and_then(|content| content.values().next());
        let style = match (content, text("style"), place) {
            (Some(_), ..) => Style::Json,
            (None, None | Some("simple"), Place::Path | Place::Header) => Style::Simple,
            (None, Some("label"), Place::Path) => Style::Label,
            (None, Some("matrix"), Place::Path) => Style::Matrix,
            (None, None | Some("form"), Place::Query | Place::Cookie) => Style::Form,
            (None, Some("spaceDelimited"), Place::Query) => Style::Spaces,
            (None, Some("pipeDelimited"), Place::Query) => Style::Pipes,
            (None, Some("deepObject"), Place::Query) => Style::Deep,
            (None, Some(style), _) => {
                return Err(format!(
                    "the parameter `{}` has the style `{}`, which has no meaning there",
                    shown(&name),
                    shown(style)
                ));
            }
        };
        let explode = value.get("explode").and_then(Value::as_bool).unwrap_or(style == Style::Form);
        let required = place == Place::Path || value.get("required").and_then(Value::as_bool) == Some(true);
        let said = content.unwrap_or(value).get("schema");
        let mut converted = converter.convert(said.unwrap_or(&Value::Null))?;
        if let (Some(text), Some(fields)) = (self.text(value, "description", 400), converted.as_object_mut()) {
            fields.insert("description".into(), Value::String(text));
        }
        let argument = schema.add(&name, converted, required);
        Ok(Some(Parameter { argument, name, place, style, explode, required }))
    }

    /// Every part of the path in braces has its parameter, and the other way round.
    fn check_path(&self, parameters: &[Parameter]) -> Result<(), String> {
        let mut rest = self.path;
        let mut named = Vec::new();
        while let Some((_, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("its path has a brace that is not closed")?;
            named.push(name);
            rest = after;
        }
        let declared = |name: &str| parameters.iter().any(|one| one.place == Place::Path && one.name == name);
        match named.iter().find(|name| !declared(name)) {
            Some(name) => Err(format!("nothing says what `{{{}}}` in its path is", shown(name))),
            None => Ok(()),
        }
    }

    fn body(&self, converter: &mut Converter<'_>, schema: &mut Arguments) -> Result<Option<Body>, String> {
        let Some(body) = self.operation.get("requestBody") else { return Ok(None) };
        let body = self.document.resolve(body)?;
        let Some(content) = body.get("content").and_then(Value::as_object).filter(|content| !content.is_empty()) else {
            return Ok(None);
        };
        let kinds = sorted(content).into_iter().filter_map(|(name, value)| Some((body_kind(name)?, name, value)));
        let Some((kind, media_type, media)) = kinds.min_by_key(|(kind, ..)| *kind as u8) else {
            let names: Vec<String> = content.keys().take(3).map(|name| shown(name)).collect();
            return Err(format!("its body is {}; only JSON, forms and text can be sent", names.join(" or ")));
        };
        let said = media.get("schema").unwrap_or(&Value::Null);
        let mut converted = match kind {
            BodyKind::Text => json!({"type": "string"}),
            _ => converter.convert(said)?,
        };
        if let (Some(text), Some(fields)) = (self.text(body, "description", 400), converted.as_object_mut()) {
            fields.entry("description").or_insert(Value::String(text));
        }
        let required = body.get("required").and_then(Value::as_bool) == Some(true);
        let argument = schema.add("body", converted, required);
        // `*/*` and `application/*` are no type that can be sent.
        let media_type = match (kind, media_type.contains('*')) {
            (BodyKind::Json, true) => "application/json".to_owned(),
            (BodyKind::Text, true) => "text/plain".to_owned(),
            _ => media_type.to_owned(),
        };
        let encoding = media.get("encoding").cloned().unwrap_or(Value::Null);
        let binary = self.binary_fields(said);
        Ok(Some(Body { argument, required, media_type, kind, encoding, binary }))
    }

    /// Fields of a form that hold a file.
    fn binary_fields(&self, schema: &Value) -> Vec<String> {
        let Ok(schema) = self.document.resolve(schema) else { return Vec::new() };
        let is_binary = |field: &Value| {
            let field = self.document.resolve(field).unwrap_or(field);
            let field = field.get("items").unwrap_or(field);
            let format = field.get("format").and_then(Value::as_str);
            matches!(format, Some("binary" | "byte" | "base64")) || field.get("contentMediaType").is_some()
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().filter(|(_, field)| is_binary(field)).map(|(name, _)| name.clone()).collect()
    }

    fn security(&self) -> Vec<Vec<String>> {
        let said = self.operation.get("security").or_else(|| self.document.root().get("security"));
        let all = said.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        all.iter()
            .filter_map(|one| Some(sorted(one.as_object()?).into_iter().map(|(name, _)| name.clone()).collect()))
            .collect()
    }

    fn server(&self) -> Option<String> {
        let of = |value: &Value| value.pointer("/servers/0").map(server_url);
        of(self.operation).or_else(|| of(self.item))
    }
}

/// The URL of a server with the defaults of its variables.
pub(crate) fn server_url(server: &Value) -> String {
    let mut url = server.get("url").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten().take(20) {
        let default = variable.get("default").and_then(Value::as_str).unwrap_or_default();
        url = url.replace(&format!("{{{name}}}"), default);
    }
    url
}

fn effect_of(method: &Method) -> Effect {
    match *method {
        Method::GET | Method::HEAD | Method::OPTIONS => Effect::Read,
        Method::PUT | Method::DELETE => Effect::Idempotent,
        _ => Effect::Write,
    }
}

fn is_idempotency(name: &str) -> bool {
    ["idempotency-key", "x-idempotency-key"].iter().any(|key| name.eq_ignore_ascii_case(key))
}

/// In the order in which they are preferred.
fn body_kind(media_type: &str) -> Option<BodyKind> {
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "application/json" | "*/*" | "application/*" => Some(BodyKind::Json),
        json if json.ends_with("+json") => Some(BodyKind::Json),
        "application/x-www-form-urlencoded" => Some(BodyKind::Form),
        "multipart/form-data" => Some(BodyKind::Multipart),
        text if text.starts_with("text/") => Some(BodyKind::Text),
        _ => None,
    }
}

/// The schema of a tool's arguments, while it is put together.
#[derive(Default)]
struct Arguments {
    names: Names,
    properties: Map<String, Value>,
    required: Vec<String>,
}

impl Arguments {
    fn add(&mut self, name: &str, schema: Value, required: bool) -> String {
        let argument = self.names.give(name, "value");
        if required {
            self.required.push(argument.clone());
        }
        self.properties.insert(argument.clone(), schema);
        argument
    }

    fn remove(&mut self, argument: &str) {
        self.properties.remove(argument);
        self.required.retain(|name| name != argument);
    }

    fn whole(self, definitions: Map<String, Value>) -> Value {
        let mut schema = json!({"type": "object", "properties": self.properties, "additionalProperties": false});
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        if !definitions.is_empty() {
            schema["$defs"] = Value::Object(definitions);
        }
        schema
    }
}
