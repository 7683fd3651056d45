//! Labels as clients give them: of a file, of a session's beginning, of a folder that is not ours.

use super::sessions;
use crate::{
    app::App,
    error::ApiError,
    types::{environment::FolderContentParam, file::FileExtrasParam},
};
use bailiwick_core::{Confidentiality, Label, approval::MAX_REASON, environment::SaidOfContent};
use bailiwick_ports::Caller;
use bailiwick_types::Principal;
use serde_json::{Map, Value, json};

/// Groups of one label, and bytes of a group's name.
const MAX_GROUPS: usize = 32;
const MAX_GROUP: usize = 128;
/// Fields of a form that are about the label.
const MAX_FIELDS: usize = 2 * MAX_GROUPS;

pub(crate) fn check(label: &Label, path: &str) -> Result<(), ApiError> {
    let Confidentiality::Groups(groups) = &label.confidentiality else { return Ok(()) };
    let plain = |name: &String| !name.is_empty() && name.len() <= MAX_GROUP && !name.chars().any(char::is_control);
    if groups.is_empty() || groups.len() > MAX_GROUPS || !groups.iter().all(plain) {
        let message =
            format!("`{path}.confidentiality.groups` must be 1 to {MAX_GROUPS} names of at most {MAX_GROUP} bytes.");
        return Err(ApiError::invalid(format!("{path}.confidentiality.groups"), message));
    }
    Ok(())
}

/// The label of something that a caller gives. What an agent gives is what its session holds, whatever it says of it.
pub(crate) async fn of_given(app: &App, caller: &Caller, given: Option<Label>, path: &str) -> Result<Label, ApiError> {
    let mut label = given.unwrap_or_default();
    check(&label, path)?;
    if let Principal::Agent { session, .. } = &caller.principal {
        label.join(&Label::foreign());
        let view = sessions::find(app, caller, *session).await?.view;
        label.join(&view.label);
        label.join(&view.environment_label);
    }
    Ok(label)
}

/// What somebody says of the content of their own folder. An agent has no say in it.
pub(crate) fn of_folder(
    caller: &Caller,
    said: Option<FolderContentParam>,
    path: &str,
) -> Result<Option<SaidOfContent>, ApiError> {
    let Some(FolderContentParam { label, reason }) = said else { return Ok(None) };
    check(&label, &format!("{path}.label"))?;
    if reason.trim().is_empty() || reason.len() > MAX_REASON {
        let place = format!("{path}.reason");
        let message = format!("`{place}` must say why, in at most {MAX_REASON} bytes.");
        return Err(ApiError::invalid(place, message));
    }
    if matches!(caller.principal, Principal::Agent { .. }) {
        return Err(ApiError::forbidden(
            "What lies in a folder is vouched for by a person or a program, never by an agent.",
        ));
    }
    Ok(Some(SaidOfContent { label, by: caller.principal.clone(), reason }))
}

/// The fields of a form that are named `bailiwick`: one of JSON, or one for each value as the official SDK sends them
/// (`bailiwick[label][confidentiality][groups][]`).
#[derive(Debug, Default)]
pub(crate) struct FormFields {
    whole: Option<Value>,
    label: Map<String, Value>,
    groups: Vec<Value>,
    count: usize,
}

impl FormFields {
    pub fn is_one(name: &str) -> bool {
        name == "bailiwick" || name.starts_with("bailiwick[")
    }

    pub fn take(&mut self, name: &str, text: String) -> Result<(), ApiError> {
        self.count += 1;
        if self.count > MAX_FIELDS {
            let message = format!("The form has more than {MAX_FIELDS} fields `bailiwick`.");
            return Err(ApiError::invalid("bailiwick", message));
        }
        match name {
            "bailiwick" => {
                let whole = serde_json::from_str(&text);
                self.whole = Some(whole.map_err(|_| ApiError::invalid("bailiwick", "`bailiwick` is not JSON."))?);
            }
            "bailiwick[label][integrity]" => {
                self.label.insert("integrity".into(), text.into());
            }
            "bailiwick[label][confidentiality]" => {
                self.label.insert("confidentiality".into(), text.into());
            }
            "bailiwick[label][confidentiality][groups][]" | "bailiwick[label][confidentiality][groups]" => {
                self.groups.push(text.into());
            }
            other => {
                let shown: String = other.chars().take(64).flat_map(char::escape_debug).collect();
                return Err(ApiError::invalid(shown.clone(), format!("There is no field `{shown}` in this form.")));
            }
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<Option<FileExtrasParam>, ApiError> {
        if !self.groups.is_empty() {
            self.label.insert("confidentiality".into(), json!({"groups": self.groups}));
        }
        let parts = (!self.label.is_empty()).then(|| json!({"label": self.label}));
        let Some(given) = self.whole.or(parts) else { return Ok(None) };
        let read: Result<FileExtrasParam, _> = serde_path_to_error::deserialize(given);
        read.map(Some).map_err(|error| {
            let place = match error.path().to_string() {
                root if root == "." => "bailiwick".to_owned(),
                place => format!("bailiwick.{place}"),
            };
            ApiError::invalid(place.clone(), format!("`{place}`: {}.", error.inner()))
        })
    }
}
