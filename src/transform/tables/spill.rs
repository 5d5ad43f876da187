//! Spills sorted rows to disk, so that any number of rows needs bounded memory.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

/// A folder for spilled rows. Its creator removes it.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    next: AtomicU64,
}

/// A file of sorted batches. It is removed on drop.
#[derive(Debug)]
pub struct Spilled {
    path: PathBuf,
    pub rows: u64,
    /// Size in memory.
    pub bytes: u64,
}

/// Writes a file of batches.
pub struct SpillWriter {
    path: PathBuf,
    out: StreamWriter<BufWriter<File>>,
    rows: u64,
    bytes: u64,
}

/// Approximate bytes of the batches in a file. They are small because a merge reads many files at
/// once.
pub const BATCH_BYTES: usize = 128 << 10;

impl Scratch {
    pub fn new(folder: PathBuf) -> Self {
        Scratch {
            folder,
            next: AtomicU64::new(0),
        }
    }

    pub fn writer(&self, schema: &Schema) -> Result<SpillWriter, ArrowError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{number}.arrow"));
        let file = File::create(&path).map_err(|e| failed("create", &path, e))?;
        let out = StreamWriter::try_new(BufWriter::with_capacity(1 << 18, file), schema)?;
        Ok(SpillWriter {
            path,
            out,
            rows: 0,
            bytes: 0,
        })
    }
}

impl SpillWriter {
    pub fn write(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        self.rows += rows.num_rows() as u64;
        self.bytes += rows
            .columns()
            .iter()
            .map(|c| c.to_data().get_slice_memory_size().unwrap_or_default() as u64)
            .sum::<u64>();
        self.out.write(rows)
    }

    /// Writes the rows as batches of about [`BATCH_BYTES`].
    pub fn write_small(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let bytes_a_row = rows.get_array_memory_size() / rows.num_rows().max(1);
        let at_once = (BATCH_BYTES / bytes_a_row.max(1)).clamp(16, 8_192);
        let from = (0..rows.num_rows()).step_by(at_once);
        let mut batches = from.map(|from| rows.slice(from, at_once.min(rows.num_rows() - from)));
        batches.try_for_each(|batch| self.write(&batch))
    }

    pub fn finish(mut self) -> Result<Spilled, ArrowError> {
        self.out.finish()?;
        Ok(Spilled {
            path: self.path,
            rows: self.rows,
            bytes: self.bytes,
        })
    }
}

impl Spilled {
    pub fn read(&self) -> Result<StreamReader<BufReader<File>>, ArrowError> {
        let file = File::open(&self.path).map_err(|e| failed("open", &self.path, e))?;
        StreamReader::try_new_buffered(file, None)
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        // A file that cannot be removed is removed with its folder.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn failed(action: &str, path: &Path, error: std::io::Error) -> ArrowError {
    let what = format!("cannot {action} {}", path.display());
    ArrowError::IoError(what, error)
}
