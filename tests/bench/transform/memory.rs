//! Whether redlake needs more memory for more pages.

use std::path::Path;

use crate::Data;
use crate::engines::redlake;
use crate::options::Options;

const TIMES: u64 = 10;
const MOST_GROWTH: f64 = 1.1;
const MOST_MEGABYTES: f64 = 400.0;
const THREADS: usize = 2;

/// # Errors
/// A run that fails.
pub fn measure(options: &Options, folder: &Path) -> Result<(), String> {
    let once = peak_megabytes(options.pages, folder)?;
    let more = peak_megabytes(options.pages * TIMES, folder)?;
    let growth = more / once;
    let met = |is_met| if is_met { "met" } else { "not met" };
    println!("\nmemory of redlake on {THREADS} threads\n");
    println!("| pages | peak MB |\n|---|---|");
    println!("| {} | {once:.0} |", options.pages);
    println!("| {} | {more:.0} |\n", options.pages * TIMES);
    println!(
        "at most {MOST_GROWTH} × the memory for {TIMES} × the pages: {growth:.2} ×, {}",
        met(growth <= MOST_GROWTH)
    );
    println!(
        "under {MOST_MEGABYTES} MB: {more:.0} MB, {}",
        met(more < MOST_MEGABYTES)
    );
    Ok(())
}

fn peak_megabytes(pages: u64, folder: &Path) -> Result<f64, String> {
    let folder = folder.join("memory");
    let data = Data::generate(&folder, pages, false)?;
    let run = redlake(&[], &data, &data.pipeline, THREADS, &folder.join("lake"))?;
    // The pages may be many: they are not kept.
    std::fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(run.peak_bytes as f64 / 1e6)
}
