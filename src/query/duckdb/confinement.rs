//! Confines SQL to the files of tables and marts.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Database, QueryError, absolute};
use crate::query::sql;
use crate::spec::table::FOLDERS;

impl Database {
    /// Permanently restricts statements to the files of tables and marts. They cannot reach raw
    /// pages, which would have to be paid for again if they were lost, nor commit records. Spilling
    /// still works, and so does setting the time zone.
    ///
    /// # Errors
    /// Fails if a path cannot be resolved, or DuckDB rejects a setting.
    pub fn confine(&self, lake: &Path) -> Result<(), QueryError> {
        self.confine_to(&[lake])
    }

    /// Restricts statements as [`Database::confine`] does, to the folders of tables and marts below
    /// each of `roots`: a lake, or a staging, which has the folders of a lake.
    ///
    /// # Errors
    /// Fails if a path cannot be resolved, or DuckDB rejects a setting.
    pub fn confine_to(&self, roots: &[&Path]) -> Result<(), QueryError> {
        let roots = roots.iter().map(|root| absolute(root));
        let roots: Vec<PathBuf> = roots.collect::<Result<_, _>>()?;
        let folders = roots
            .iter()
            .flat_map(|root| FOLDERS.map(|folder| root.join(folder)));
        let folders = folders.map(|folder| {
            let folder = folder.to_string_lossy();
            // The views name the folder in the second form.
            let names = [
                sql::literal(&folder),
                sql::literal(&sql::plain_glob(&folder)),
            ];
            names.join(", ")
        });
        let folders: Vec<String> = folders.collect();
        self.execute(&format!(
            "SET allowed_directories = [{}]; SET enable_external_access = false",
            folders.join(", ")
        ))?;
        self.lock_settings()
    }

    /// Restricts the database for these statements alone, with the effect of [`Database::confine`].
    ///
    /// Statements that name relations of the catalog, and nothing else, cannot reach other files. They
    /// are not checked while they run: to check a file, DuckDB resolves its path several times.
    ///
    /// `statements` are those that will run, and the queries of the views that they may read.
    ///
    /// # Errors
    /// Fails as [`Database::confine`] does.
    pub fn confine_for<'s>(
        &self,
        mut statements: impl Iterator<Item = &'s str>,
        lake: &Path,
    ) -> Result<(), QueryError> {
        if !statements.all(|sql| self.selects_of_relations(sql).is_some()) {
            return self.confine(lake);
        }
        // A function that is missing would be looked for in extensions, which DuckDB would download.
        self.execute(
            "SET autoload_known_extensions = false; SET autoinstall_known_extensions = false",
        )?;
        self.lock_settings()
    }

    /// Keeps SQL from changing settings, but for the time zone.
    fn lock_settings(&self) -> Result<(), QueryError> {
        // DuckDB before 1.5.5 does not have the setting. SQL cannot set its time zone there.
        let _ = self.execute("SET allowed_configs = ['TimeZone']");
        self.execute("SET allow_persistent_secrets = false; SET lock_configuration = true")
    }

    /// Returns the number of statements in SQL that consists of SELECT statements which name nothing but
    /// relations. `None` for other SQL, or if that is unknown.
    pub(super) fn selects_of_relations(&self, sql: &str) -> Option<usize> {
        let parse = "SELECT json_serialize_sql(?::VARCHAR)";
        let parsed = self.connection.query_row(parse, [sql], |row| row.get(0));
        let parsed: String = parsed.ok()?;
        let parsed: Value = serde_json::from_str(&parsed).ok()?;
        // Only SELECT statements can be serialized. Others have an error, and no statements.
        let statements = parsed["statements"].as_array()?;
        let are_plain = statements.iter().all(is_of_relations);
        are_plain.then_some(statements.len())
    }
}

/// Returns true if a part of a parsed statement names nothing but relations.
fn is_of_relations(part: &Value) -> bool {
    match part {
        Value::Object(fields) => is_plain(fields) && fields.values().all(is_of_relations),
        Value::Array(parts) => parts.iter().all(is_of_relations),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Returns true if an object of a parsed statement reaches no file by itself.
fn is_plain(part: &Map<String, Value>) -> bool {
    let function = part.get("function_name").and_then(Value::as_str);
    if function.is_some_and(|name| REACHING.contains(&name.to_lowercase().as_str())) {
        return false;
    }
    let Some(kind) = part.get("type").and_then(Value::as_str) else {
        return true;
    };
    // Expressions have a class.
    if part.contains_key("class") {
        return true;
    }
    match kind {
        "BASE_TABLE" => {
            let is_empty = |field: &str| part.get(field).is_some_and(|name| name == "");
            let name = part.get("table_name").and_then(Value::as_str);
            is_empty("catalog_name") && is_empty("schema_name") && name.is_some_and(is_plain_name)
        }
        // The type of a value, such as a decimal with its digits.
        kind if kind.ends_with("_TYPE_INFO") => true,
        kind => PLAIN.contains(&kind),
    }
}

/// Returns true if DuckDB cannot take a name of a relation for that of a file, which has an ending.
fn is_plain_name(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Scalar functions that may reach a file: the first plans the SQL of its argument, for which DuckDB opens
/// the files that it names. The others of DuckDB 1.5 compute with their arguments.
const REACHING: [&str; 2] = ["json_serialize_plan", "write_log"];

/// Types of the objects of a parsed SELECT, other than expressions, that reach no file by themselves.
/// Among those that are missing are table functions, and descriptions of what a name refers to.
const PLAIN: [&str; 14] = [
    // Queries
    "SELECT_NODE",
    "SET_OPERATION_NODE",
    "RECURSIVE_CTE_NODE",
    // What they select from
    "EMPTY",
    "EXPRESSION_LIST",
    "JOIN",
    "SUBQUERY",
    // Their order and number of rows
    "ORDER_MODIFIER",
    "LIMIT_MODIFIER",
    "LIMIT_PERCENT_MODIFIER",
    "DISTINCT_MODIFIER",
    "ORDER_DEFAULT",
    "ASCENDING",
    "DESCENDING",
];
