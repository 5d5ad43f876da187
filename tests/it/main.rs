//! The contract from the outside: the binary, real HTTP to the sandbox, real files, DuckDB.

mod architecture;
mod contracts;
mod demo;
mod documented;
mod mistakes;
mod odd_answers;
mod outcomes;
mod readme;
mod support;
mod tokens;
