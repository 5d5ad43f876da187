//! Signals that end a run: SIGINT, SIGTERM and SIGHUP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::cli::output::stderr::{LogLevel, Notice, try_remove_line};

/// Numbers of the signals that end a run. They are the same on every Unix.
const HANGUP: u8 = 1;
pub const INTERRUPT: u8 = 2;
const TERMINATE: u8 = 15;

/// Ends the run early on SIGINT, SIGTERM and SIGHUP. Stores the signal's number in `signal` for the
/// exit code. An ignored SIGHUP, as under `nohup`, stays ignored.
pub fn stop_on_signal(signal: Arc<AtomicU8>) -> std::io::Result<watch::Receiver<bool>> {
    let (sender, receiver) = watch::channel(false);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal as listen};
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hangup = if is_hangup_ignored() {
            None
        } else {
            Some(listen(SignalKind::hangup())?)
        };
        let mut hung_up = async move || match &mut hangup {
            Some(hangup) => {
                hangup.recv().await;
            }
            None => std::future::pending().await,
        };
        tokio::spawn(async move {
            loop {
                let number = tokio::select! {
                    _ = interrupt.recv() => INTERRUPT,
                    _ = terminate.recv() => TERMINATE,
                    () = hung_up() => HANGUP,
                };
                if signal.swap(number, Ordering::Relaxed) != 0 {
                    // A second signal exits at once: fetched pages are in the raw zone already.
                    try_remove_line();
                    std::process::exit(128 + i32::from(number));
                }
                let _ = sender.send(true);
                exit_late(number);
            }
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        signal.store(INTERRUPT, Ordering::Relaxed);
        let _ = sender.send(true);
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

/// Calls `act` at each SIGINT, which no longer ends the process, until the result is dropped.
///
/// # Errors
/// The system refuses a thread or the signal.
pub fn on_interrupt(act: impl Fn() + Send + 'static) -> std::io::Result<Runtime> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    // The signal is caught from here on.
    #[cfg(unix)]
    let mut interrupts = {
        use tokio::signal::unix::{SignalKind, signal as listen};
        let _entered = runtime.enter();
        listen(SignalKind::interrupt())?
    };
    runtime.spawn(async move {
        loop {
            #[cfg(unix)]
            interrupts.recv().await;
            #[cfg(not(unix))]
            if tokio::signal::ctrl_c().await.is_err() {
                return;
            }
            act();
        }
    });
    Ok(runtime)
}

/// Returns `true` if this process was started with SIGHUP ignored. Always `false` on systems other
/// than Linux.
#[cfg(unix)]
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (HANGUP - 1)) != 0)
}

/// Exits the process after [`PATIENCE`], in whatever state the run is. Pages and calls are on disk,
/// and the next run makes the missing tables from them.
#[cfg(unix)]
fn exit_late(signal: u8) {
    std::thread::spawn(move || {
        std::thread::sleep(PATIENCE);
        // In a thread of its own: the reader of stderr may have stopped reading.
        std::thread::spawn(move || {
            try_remove_line();
            let told = "stopped; paid pages are kept, and the next run continues";
            Notice::new(LogLevel::Warn, told)
                .with("signal", signal)
                .print();
        });
        std::thread::sleep(LAST_WORDS);
        std::process::exit(128 + i32::from(signal));
    });
}

/// Time to print the last line.
#[cfg(unix)]
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Time that a run has to stop after a signal.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_millis(1_800);
