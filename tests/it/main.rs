//! The contract from the outside: the binary, real HTTP to the sandbox, real files, DuckDB.

mod architecture;
mod budgets;
mod chain;
mod checks;
mod contracts;
mod demo;
mod documented;
mod evolution;
mod faults;
mod held;
mod kills;
mod mistakes;
mod odd_answers;
mod outcomes;
mod pipes;
mod privacy;
mod readme;
mod resume;
mod retention;
mod sandbox;
mod schema;
mod shards;
mod stops;
mod suggest;
mod support;
mod tokens;
