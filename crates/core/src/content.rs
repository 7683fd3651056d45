//! What a message or a tool result is made of.

use serde::{Deserialize, Serialize};

/// One part of a message. Text is kept as it came; it is escaped where it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    Text {
        text: String,
    },
    /// An image by URL, usually a base64 `data:` URL.
    Image {
        url: String,
    },
}

impl Content {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// The length in bytes that this part adds to a prompt.
    pub fn len(&self) -> usize {
        match self {
            Self::Text { text } => text.len(),
            Self::Image { url } => url.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The text parts, joined by line breaks.
pub fn joined_text(parts: &[Content]) -> String {
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            Content::Text { text } => Some(text.as_str()),
            Content::Image { .. } => None,
        })
        .collect();
    texts.join("\n")
}
