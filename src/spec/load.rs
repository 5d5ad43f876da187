//! Reads a pipeline and the files that it names.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::lake_layout::{self, DEFAULT_LAKE};

use super::pipeline::{KeywordSet, Pipeline};
use crate::spec::yaml::diagnostic::{Diagnostic, Diagnostics, SourceFile};
use crate::spec::yaml::document::{self, Spanned};
use crate::spec::yaml::env::{self, VariableUse, Variables};
use crate::spec::yaml::node::{Node, NodeKind};
use crate::spec::yaml::secret::{without_secrets, without_user_info};
use crate::spec::yaml::text_file::{NotUtf8, read_text, reason, unreadable};

/// A pipeline as written, with the entries of the files that it names.
#[derive(Clone, Debug)]
pub struct LoadedPipeline {
    pub pipeline: Pipeline,
    pub file: SourceFile,
    /// Lists by their path, as written in the pipeline.
    pub lists: HashMap<PathBuf, List>,
    /// Folder of the lake: `load.lake` relative to the file, or the default.
    pub lake: PathBuf,
    /// The home folder.
    pub home: Option<String>,
    /// Folder of the contracts; `None` for the built-in ones.
    pub schemas: Option<PathBuf>,
    /// Names of all declared keyword sets, unreadable ones included. `None` if `keyword_sets` is no
    /// mapping.
    pub set_names: Option<Vec<String>>,
    /// Variables whose values must not appear in messages.
    pub variables: Variables,
    /// Uses of variables in the file.
    pub uses: Vec<VariableUse>,
    /// Diagnostics of reading. Planning adds to them, so that all are reported at once.
    pub found: Vec<Diagnostic>,
}

/// A text file that a pipeline names, with one entry per line.
#[derive(Clone, Debug)]
pub struct List {
    pub file: SourceFile,
    pub entries: Vec<Spanned<String>>,
}

/// Reads `path` and the lists that it names. `lookup` returns environment variables.
///
/// # Errors
/// Fails only if there is no pipeline to plan. Other mistakes are in
/// [`LoadedPipeline::found`].
pub fn load_pipeline(
    path: &Path,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<LoadedPipeline, Diagnostics> {
    let text = read_text(path).map_err(|error| {
        let hint = "give the path of a pipeline YAML, such as pipelines/demo.yaml";
        Diagnostics(vec![unreadable(
            path,
            &error,
            "cannot read the pipeline",
            hint,
        )])
    })?;
    let file = SourceFile::new(path, text);
    parse_pipeline(file, lookup, &read_text)
}

/// Reads a pipeline from its text. `lookup` returns environment variables, `read` the text of a
/// list by its path.
///
/// # Errors
/// Fails as [`load_pipeline`] does.
pub fn parse_pipeline(
    file: SourceFile,
    lookup: &dyn Fn(&str) -> Option<String>,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<LoadedPipeline, Diagnostics> {
    let mut found = Vec::new();
    let tree = document::read(&file, &mut found);
    let (file, secrets) = without_secrets(file, tree.as_ref());
    let file = without_user_info(file);
    for diagnostic in &mut found {
        diagnostic.file = file.clone();
        let hint = "write a pipeline; `redlake init` makes one to start from";
        diagnostic.hint.get_or_insert_with(|| hint.to_owned());
    }
    let Some(mut tree) = tree else {
        secrets.hide(&mut found);
        return Err(Diagnostics(found));
    };
    let uses = env::uses(&tree);
    let set_names = set_names(&tree);
    let variables = Variables::default();
    let noted = |name: &str| variables.look_up(name, lookup);
    env::substitute(&mut tree, &file, &noted, &mut found);
    let pipeline = document::decode::<Pipeline>(tree, &file, &mut found);
    secrets.hide(&mut found);
    let Some(pipeline) = pipeline else {
        variables.hide(&mut found);
        return Err(Diagnostics(found));
    };
    let lists = read_lists(&pipeline, &file, read, &mut found);
    let home = lookup("HOME");
    let lake = lake(&pipeline, &file, home.as_deref(), &mut found);
    let schemas = schemas(&pipeline, &file, home.as_deref(), &mut found);
    Ok(LoadedPipeline {
        pipeline,
        file,
        lists,
        lake,
        home,
        schemas,
        set_names,
        variables,
        uses,
        found,
    })
}

/// Returns the keys of `keyword_sets`; `None` if it is no mapping.
fn set_names(tree: &Node) -> Option<Vec<String>> {
    match tree.entry("keyword_sets").map(|sets| &sets.kind) {
        None => Some(Vec::new()),
        Some(NodeKind::Map(sets)) => {
            let names = sets.iter().filter_map(|(name, _)| name.text());
            Some(names.map(str::to_owned).collect())
        }
        Some(_) => None,
    }
}

/// Returns the folder of the lake.
fn lake(
    pipeline: &Pipeline,
    file: &SourceFile,
    home: Option<&str>,
    found: &mut Vec<Diagnostic>,
) -> PathBuf {
    let Some(written) = &pipeline.load.lake else {
        return DEFAULT_LAKE.into();
    };
    match lake_layout::folder(&written.value, home) {
        Ok(folder) => lake_layout::beside(file.path(), &folder),
        Err(error) => {
            let hint = "name a local folder, relative to this file, such as `lake: ../lake`";
            found.push(Diagnostic::error(file, Some(written.span()), error.to_string()).hint(hint));
            DEFAULT_LAKE.into()
        }
    }
}

/// Returns the folder of the contracts; `None` for the built-in ones.
fn schemas(
    pipeline: &Pipeline,
    file: &SourceFile,
    home: Option<&str>,
    found: &mut Vec<Diagnostic>,
) -> Option<PathBuf> {
    let written = pipeline.schemas.as_ref()?;
    let folder = lake_layout::folder(&written.value, home);
    let folder = folder.map(|folder| lake_layout::beside(file.path(), &folder));
    let reason = match &folder {
        Ok(folder) if folder.is_dir() => return Some(folder.clone()),
        Ok(folder) => format!("there is no folder {}", folder.display()),
        Err(error) => error.to_string(),
    };
    let hint = "name a folder relative to this file; `redlake schema export DIR` writes one";
    found.push(Diagnostic::error(file, Some(written.span()), reason).hint(hint));
    None
}

fn read_lists(
    pipeline: &Pipeline,
    file: &SourceFile,
    read: &dyn Fn(&Path) -> io::Result<String>,
    found: &mut Vec<Diagnostic>,
) -> HashMap<PathBuf, List> {
    let sets = pipeline
        .keyword_sets
        .values()
        .filter_map(|set| match &set.value {
            KeywordSet::File(list) => Some(&list.file),
            KeywordSet::Words(_) => None,
        });
    let notes = pipeline
        .extract
        .iter()
        .filter_map(|e| e.notes.as_ref()?.file.as_ref());
    let folder = file.path().parent().unwrap_or(Path::new(""));
    let mut lists = HashMap::new();
    for named in sets.chain(notes) {
        let path = folder.join(&named.value);
        match read(&path) {
            Ok(text) => {
                let file = SourceFile::new(path, text);
                let entries = entries(file.text());
                lists.insert(named.value.clone(), List { file, entries });
            }
            Err(error) => found.push(unreadable_list(named, folder, &error, file)),
        }
    }
    lists
}

/// Returns the entries of a list: its lines without blank ones and comments.
fn entries(text: &str) -> Vec<Spanned<String>> {
    let mut entries = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let begin = start + line.len() - line.trim_start().len();
        let entry = line.trim();
        if !entry.is_empty() && !entry.starts_with('#') {
            entries.push(Spanned::placed(
                entry.to_owned(),
                begin..begin + entry.len(),
            ));
        }
        start += line.len();
    }
    entries
}

fn unreadable_list(
    named: &Spanned<PathBuf>,
    folder: &Path,
    error: &io::Error,
    file: &SourceFile,
) -> Diagnostic {
    let path = folder.join(&named.value);
    let message = format!("cannot read {}: {}", path.display(), reason(error));
    let hint = NotUtf8::of(error).map(NotUtf8::hint);
    let hint = hint.unwrap_or_else(|| "files are found relative to the pipeline".to_owned());
    Diagnostic::error(file, Some(named.span()), message).hint(hint)
}
