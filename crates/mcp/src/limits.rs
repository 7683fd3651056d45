//! What a server may cost us. Every loop, queue, wait and payload of this room ends at one of these.

use bailiwick_types::Millis;

/// Longest message of a server: one JSON body, one event, one line.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// JSON values in one message. Text of this length can otherwise become a heap of many times its size.
pub const MAX_MESSAGE_VALUES: usize = 200_000;
/// Messages of a batch (revision 2025-03-26 has them).
pub const MAX_BATCH: usize = 100;
/// Messages that a server may send before it answers one request.
pub const MAX_MESSAGES_BEFORE_ANSWER: usize = 10_000;
/// Requests among them: each is answered.
pub const MAX_REQUESTS_BEFORE_ANSWER: usize = 64;
/// Bytes that a server may send before it has answered one request.
pub const MAX_BYTES_BEFORE_ANSWER: usize = 16 << 20;
/// Body of an answer with an error status.
pub const MAX_ERROR_BYTES: usize = 64 << 10;
/// Our own longest message: a call with its arguments.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Pages of one list of tools.
pub const MAX_PAGES: usize = 100;
/// Tools of one server.
pub const MAX_TOOLS: usize = 2_000;
/// Definitions of all tools of one server together.
pub const MAX_LIST_BYTES: usize = 8 << 20;
/// Longest cursor of a page.
pub const MAX_CURSOR_BYTES: usize = 4 << 10;
/// Longest name of a tool (the specification's own limit).
pub const MAX_NAME_BYTES: usize = 128;
/// Longest title of a tool.
pub const MAX_TITLE_BYTES: usize = 256;
/// Longest description of a tool.
pub const MAX_DESCRIPTION_BYTES: usize = 16 << 10;
/// One schema of a tool.
pub const MAX_SCHEMA_BYTES: usize = 64 << 10;
/// Values in one schema.
pub const MAX_SCHEMA_VALUES: usize = 5_000;
/// How deep a schema goes.
pub const MAX_SCHEMA_DEPTH: usize = 32;
/// Parameters of one tool that are mirrored into headers.
pub const MAX_HEADER_PARAMETERS: usize = 16;

/// Parts of one result.
pub const MAX_PARTS: usize = 256;
/// Largest image of a result, decoded.
pub const MAX_IMAGE_BYTES: usize = 3 << 20;
/// Words of a server that go into a failure.
pub const MAX_QUOTED_CHARS: usize = 1_000;

/// Questions of one call to a person.
pub const MAX_QUESTIONS: usize = 8;
/// Fields of one form.
pub const MAX_FIELDS: usize = 32;
/// Choices of one field.
pub const MAX_CHOICES: usize = 100;
/// Longest text of a question, of a label of it, or of an answer.
pub const MAX_QUESTION_BYTES: usize = 4 << 10;
/// What a server wants back with the answers.
pub const MAX_REQUEST_STATE_BYTES: usize = 64 << 10;

/// Times that the answer to one request is resumed.
pub const MAX_RESUMES: usize = 8;
/// The pause before resuming where the server names none, and the longest that it may name.
pub const RESUME_PAUSE: Millis = Millis(1_000);
pub const MAX_RESUME_PAUSE: Millis = Millis(30_000);
/// How long a server on a byte stream may think about `server/discover`, which old ones may never answer.
pub const PROBE_TIME: Millis = Millis(5_000);
/// How long agreeing on a revision may take altogether.
pub const HANDSHAKE_TIME: Millis = Millis(30_000);
/// How long telling a server that we do not wait any more may take.
pub const FAREWELL_TIME: Millis = Millis(2_000);

/// A document of an authorization server, and an answer of its token endpoint.
pub const MAX_METADATA_BYTES: usize = 256 << 10;
/// How long one request of the authorization may take.
pub const METADATA_TIME: Millis = Millis(15_000);
/// What is kept while a person is away: it has to fit into a cookie, sealed and written as text.
pub const MAX_PENDING_BYTES: usize = 2_600;
/// Longest token.
pub const MAX_TOKEN_BYTES: usize = 16 << 10;
/// Longest set of scopes.
pub const MAX_SCOPE_BYTES: usize = 4 << 10;
/// How long a person has to come back from the authorization server.
pub const SIGN_IN_TIME: Millis = Millis::from_secs(3_600);
