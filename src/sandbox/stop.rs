//! The end of the sandbox, for whoever waits for it.

use std::pin::Pin;

use tokio::sync::watch;

/// Done when the sandbox is stopped or dropped.
pub type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<bool>);

/// Says that the sandbox stops; being dropped says it too.
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
            // An error says that nobody is left who could stop it.
            let _ = receiver.wait_for(|stopped| *stopped).await;
        })
    }
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}
