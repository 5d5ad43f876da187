//! Streams raw pages into the rows of one table, for distributed engines with their own storage.

use std::collections::{BTreeSet, HashSet};
use std::io::{Read, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use chrono_tz::Tz;

use crate::raw::lines::Lines;
use crate::run::error::RunError;
use crate::run::finish::refused;
use crate::run_meta::RunMeta;
use crate::spec::pipeline::{OnBadValue, OnUnknownField};
use crate::transform::contracts::Transform;
use crate::transform::error::TransformError;
use crate::transform::page::flatten::Flattener;
use crate::transform::tables::accumulator::Spill;
use crate::transform::tables::finish::Flattened;
use crate::transform::tables::spill::Scratch;

/// Options of a stream: the table, and the rules for its rows.
#[derive(Clone, Copy, Debug)]
pub struct Piped<'p> {
    pub table: &'p str,
    /// Bytes of rows in memory before they are spilled to disk.
    pub memory: usize,
    /// Pipeline whose rules apply. Pages of another pipeline are an error.
    pub pipeline: Option<&'p str>,
    /// Time zone of the business date of each run.
    pub timezone: Tz,
    pub on_unknown_field: OnUnknownField,
    pub on_bad_value: OnBadValue,
}

/// Counts of a finished stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    pub runs: u64,
    pub pages: u64,
    pub rows: u64,
    pub rejects: u64,
    /// True if the input ended inside a page.
    pub torn: bool,
}

/// Reads pages (NDJSON, plain or zstd) and writes the rows of one table as an Arrow IPC stream.
/// Rows are written run by run, in the table's order, with the latest observation of each key, as
/// in a lake. The pages of a run must be contiguous.
///
/// # Errors
/// The input holds no raw pages or pages of another pipeline, the pages of a run are scattered, the
/// table is not built from pages, a `fail` rule applies, or the output is closed.
pub fn pipe(
    transform: &Transform,
    piped: Piped<'_>,
    input: impl Read + 'static,
    output: impl Write + Send,
) -> Result<Passed, RunError> {
    let table = transform
        .table(piped.table)
        .ok_or_else(|| RunError::NoSuchTable(piped.table.to_owned()))?;
    let folder = tempfile::tempdir().map_err(RunError::Scratch)?;
    let scratch = Scratch::new(folder.path().to_owned());
    let mut pipe = Pipe {
        transform,
        piped,
        scratch: &scratch,
        out: stream(output, &table.to_arrow())?,
        passed: Passed::default(),
    };
    let mut lines = Lines::new(input)?;
    let mut run: Option<(RunMeta, Flattener<'_>, HashSet<String>)> = None;
    // Run and source of pages that were read completely.
    let mut ended: HashSet<(String, String)> = HashSet::new();
    let mut sources: BTreeSet<String> = BTreeSet::new();
    for page in &mut lines {
        let page = page?;
        let header = &page.header;
        if let Some(wanted) = piped.pipeline
            && wanted != header.pipeline
        {
            return Err(RunError::ForeignRaw {
                path: "(the input)".into(),
                found: header.pipeline.clone(),
                wanted: wanted.to_owned(),
            });
        }
        if run
            .as_ref()
            .is_none_or(|(meta, ..)| meta.run_id != header.run_id)
        {
            if let Some((meta, flattener, _)) = run.take() {
                let sources = std::mem::take(&mut sources).into_iter();
                ended.extend(sources.map(|source| (meta.run_id.clone(), source)));
                pipe.end(meta, flattener)?;
            }
            let (id, pipeline) = (&header.run_id, &header.pipeline);
            let meta = RunMeta::new(
                id,
                pipeline,
                header.snapshot_at,
                piped.timezone,
                header.simulated,
            );
            let flattener = pipe.begin(meta.clone());
            run = Some((meta, flattener, HashSet::new()));
        }
        let source = header.search.source.clone();
        if ended.contains(&(header.run_id.clone(), source.clone())) {
            return Err(RunError::Scattered(header.run_id.clone()));
        }
        sources.insert(source);
        let Some((_, flattener, seen)) = &mut run else {
            continue;
        };
        // Duplicate pages count once.
        if seen.insert(header.request_id.clone()) {
            flattener.push(&page)?;
            pipe.passed.pages += 1;
        }
    }
    if let Some((meta, flattener, _)) = run {
        pipe.end(meta, flattener)?;
    }
    pipe.passed.torn = lines.torn();
    pipe.out.finish().map_err(TransformError::from)?;
    Ok(pipe.passed)
}

struct Pipe<'p, W: Write + Send> {
    transform: &'p Transform,
    piped: Piped<'p>,
    scratch: &'p Scratch,
    out: StreamWriter<W>,
    passed: Passed,
}

impl<'p, W: Write + Send> Pipe<'p, W> {
    fn begin(&self, meta: RunMeta) -> Flattener<'p> {
        let spill = Spill {
            scratch: self.scratch,
            memory: self.piped.memory,
        };
        // `on_bad_value: fail` applies to the items of all tables.
        let all = self.piped.on_bad_value == OnBadValue::Fail;
        let only: &[&str] = if all { &[] } else { &[self.piped.table] };
        Flattener::new(self.transform, meta, only, Some(spill))
    }

    /// Writes the rows of a finished run.
    fn end(&mut self, meta: RunMeta, flattener: Flattener<'p>) -> Result<(), RunError> {
        let finished = flattener.finish()?;
        let flattened = Flattened::new(self.transform, meta, finished, Some(self.scratch))?;
        let Piped {
            on_unknown_field,
            on_bad_value,
            table,
            ..
        } = self.piped;
        if let Some(reason) = refused(on_unknown_field, on_bad_value, &flattened) {
            return Err(RunError::Refused(reason));
        }
        self.passed.runs += 1;
        self.passed.rejects += flattened.rejects;
        flattened.write_one(table, |rows: RecordBatch| {
            self.passed.rows += rows.num_rows() as u64;
            self.out.write(&rows)
        })?;
        Ok(())
    }
}

fn stream<W: Write>(output: W, schema: &Schema) -> Result<StreamWriter<W>, RunError> {
    let stream: Result<_, ArrowError> = StreamWriter::try_new(output, schema);
    Ok(stream.map_err(TransformError::from)?)
}
