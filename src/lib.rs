//! redlake turns Xiaohongshu (RED) search APIs into a Parquet lake.
//!
//! ```text
//! pipelines/*.yaml ─┐
//! schemas/sources/ ─┼─► plan ─► extract ─► raw zone ─► transform ─► load ─► lake ─► marts, query
//! schemas/tables/ ──┘   (pure)  (network)  (files)     (pure)      (files)
//! ```
//!
//! | module | is |
//! |---|---|
//! | [`spec`] | the three YAML contracts: shapes, loading, the places of mistakes |
//! | [`plan`] | a pipeline resolved against its contracts: valid by construction |
//! | [`extract`] | paging, retries, limits, budgets, the journal; the only place that talks to the network |
//! | [`raw`] | the raw zone, where extract and transform meet: answers byte for byte with their checksums, on disk |
//! | [`transform`] | raw pages → Arrow tables, driven by the compiled contracts |
//! | [`load`] | Arrow tables → Parquet, committed all or none, or held; whether contracts fit the lake |
//! | [`marts`] | tables computed from the lake's tables; the only place that uses polars |
//! | [`query`] | the catalog of views, the SQL of data checks, and DuckDB |
//! | [`run`] | ties the stages together; resuming; what earlier runs tell; data checks; re-flattening; marts kept up to date; upkeep; the report |
//! | [`sandbox`] | the API simulator |
//! | [`cli`] | one file a subcommand |
//! | [`clock`], [`durable`], [`signing`] | real and simulated time; folders that survive a power cut; signs of calls |
//!
//! `cli → run → stages → plan → spec`: the stages do not know each other, and the engine knows no
//! provider. `tests/it/architecture.rs` holds these rules.

pub mod cli;
pub mod clock;
pub mod durable;
pub mod extract;
pub mod load;
pub mod marts;
pub mod plan;
pub mod query;
pub mod raw;
pub mod run;
pub mod sandbox;
pub mod signing;
pub mod spec;
pub mod transform;
