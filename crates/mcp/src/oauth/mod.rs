//! Authorization at an MCP server (<https://modelcontextprotocol.io/specification/2026-07-28/basic/authorization>).

mod challenge;

pub use challenge::Challenge;
pub(crate) use challenge::is_scope;
