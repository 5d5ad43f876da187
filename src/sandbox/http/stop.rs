//! Shutdown signal of the sandbox.

use std::pin::Pin;

use tokio::sync::watch;

/// Resolves when the sandbox is stopped or dropped.
pub type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<bool>);

/// Signals the shutdown of the sandbox, also when it is dropped.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

pub fn stop() -> (Stopper, StopSignal) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), StopSignal(receiver))
}

impl StopSignal {
    pub fn stopped(&self) -> Stopped {
        let mut receiver = self.0.clone();
        Box::pin(async move {
            // An error means that the stopper was dropped, which also stops the sandbox.
            let _ = receiver.wait_for(|stopped| *stopped).await;
        })
    }
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
