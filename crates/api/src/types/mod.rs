//! The wire: requests as they come, resources and events as the official SDK (`openai` 3.52.0, `types/beta/**`) reads
//! them. Names and shapes are the API's; everything that we add sits in objects named `bailiwick`.

pub mod agent;
pub mod approval;
pub mod audit;
pub mod catalogue;
pub mod connection;
pub mod connector;
pub mod environment;
pub mod event;
pub mod extra;
pub mod file;
pub mod grant;
pub mod hold;
pub mod input;
pub mod item;
pub mod memory;
pub mod money;
pub mod page;
pub mod people;
pub mod policy;
pub mod session;
pub mod skill;
pub mod stop;
pub mod tokens;
pub mod turn;
pub mod vault;
