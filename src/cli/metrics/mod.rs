//! `--metrics-file`: figures of a command in the text format of Prometheus, for the textfile
//! collector of node_exporter.

pub mod of_run;
pub mod of_status;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Flag of the commands that write metrics.
#[derive(Clone, Debug, Default, Args)]
pub struct MetricsFile {
    /// Write figures in the text format of Prometheus to this file, such as
    /// /var/lib/node_exporter/redlake.prom
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
}

/// Gauges with their samples, in the order in which they are written.
#[derive(Debug, Default)]
pub(super) struct Gauges(Vec<GaugeFamily>);

#[derive(Debug)]
struct GaugeFamily {
    name: &'static str,
    help: &'static str,
    samples: Vec<(Labels, f64)>,
}

type Labels = Vec<(String, String)>;

impl Gauges {
    /// Adds a sample. Samples of a gauge need not be added one after the other.
    fn add(&mut self, gauge: Gauge, labels: Labels, value: f64) {
        let Gauge(name, help) = gauge;
        let sample = (labels, value);
        match self.0.iter_mut().find(|family| family.name == name) {
            Some(family) => family.samples.push(sample),
            None => self.0.push(GaugeFamily {
                name,
                help,
                samples: vec![sample],
            }),
        }
    }
}

/// Name and help text of a gauge.
#[derive(Clone, Copy, Debug)]
struct Gauge(&'static str, &'static str);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.0 {
            let (name, help) = (family.name, family.help);
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, value) in &family.samples {
                let gauge = ConstGauge::new(*value);
                gauge.encode(metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

/// Writes gauges to a file beside `path` and renames it into place, so that a collector never reads
/// half of it. Its mode follows the umask: collectors run as another account. A failure is logged.
fn write_or_warn(path: &Path, gauges: Gauges) {
    if let Err(error) = write(path, gauges) {
        tracing::warn!(
            "the metrics file {} cannot be written: {error}",
            path.display()
        );
    }
}

fn write(path: &Path, gauges: Gauges) -> io::Result<()> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(gauges));
    let mut text = String::new();
    encode_registry(&mut text, &registry).map_err(io::Error::other)?;
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = name.to_owned();
    // Collectors read `*.prom`.
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

/// Returns seconds since 1970, with the fraction.
fn timestamp(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}

/// Returns 1 for true and 0 for false.
fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}
