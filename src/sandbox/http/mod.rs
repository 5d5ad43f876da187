//! The simulator over HTTP: routes, answers, and how slowly or badly they are sent.

pub mod line;
pub mod reply;
pub mod respond;
pub mod routes;
pub mod sending;
pub mod server;
pub mod shared;
pub mod stop;
