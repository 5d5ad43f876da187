//! The files in `templates/`, filled in. A value is quoted as the language of the file wants it.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

use super::quote::{QuotedFor, systemd_setting, yaml_block};

/// A template, with the language of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    RunScript,
    UpkeepScript,
    Crontab,
    RunService,
    RunTimer,
    UpkeepService,
    UpkeepTimer,
    Dag,
    Manifests,
    Pod,
    Workflow,
}

impl Template {
    fn text(self) -> &'static str {
        match self {
            Template::RunScript => include_str!("templates/run.sh"),
            Template::UpkeepScript => include_str!("templates/upkeep.sh"),
            Template::Crontab => include_str!("templates/crontab"),
            Template::RunService => include_str!("templates/run.service"),
            Template::RunTimer => include_str!("templates/run.timer"),
            Template::UpkeepService => include_str!("templates/upkeep.service"),
            Template::UpkeepTimer => include_str!("templates/upkeep.timer"),
            Template::Dag => include_str!("templates/dag.py"),
            Template::Manifests => include_str!("templates/manifests.yaml"),
            Template::Pod => include_str!("templates/pod.yaml"),
            Template::Workflow => include_str!("templates/workflow.yml"),
        }
    }

    fn language(self) -> QuotedFor {
        match self {
            Template::RunScript | Template::UpkeepScript => QuotedFor::Shell,
            Template::Crontab => QuotedFor::Crontab,
            Template::RunService
            | Template::RunTimer
            | Template::UpkeepService
            | Template::UpkeepTimer => QuotedFor::Systemd,
            Template::Dag => QuotedFor::Python,
            Template::Manifests | Template::Pod | Template::Workflow => QuotedFor::Yaml,
        }
    }

    /// Fills in the template. `{{ x }}` is the value as one quoted word, `{{ x | raw }}` as it is.
    ///
    /// # Panics
    /// The template uses a value that `values` does not have.
    pub fn fill(self, values: Value) -> String {
        let language = self.language();
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(syntax());
        environment.set_formatter(move |out, _, value| {
            let written = match value.as_str() {
                Some(text) if !value.is_safe() => out.write_str(&language.word(text)),
                Some(text) => out.write_str(text),
                None => out.write_str(&value.to_string()),
            };
            Ok(written?)
        });
        let raw = |text: String| Value::from_safe_string(text);
        environment.add_filter("raw", raw);
        environment.add_filter("setting", |text: String| {
            Value::from_safe_string(systemd_setting(&text))
        });
        environment.add_filter("block", |text: String| {
            Value::from_safe_string(yaml_block(&text, 4))
        });
        let filled = environment.render_str(self.text(), values);
        filled.unwrap_or_else(|error| panic!("the template {self:?} is filled in: {error:#}"))
    }
}

/// Tags on lines of their own leave no blank lines.
fn syntax() -> SyntaxConfig {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    syntax.expect("the delimiters differ")
}

/// Returns a value for templates.
pub fn value(value: impl Serialize) -> Value {
    Value::from(Serde(value))
}
