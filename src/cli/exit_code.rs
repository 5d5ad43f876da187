//! The exit codes of redlake.

/// Exit code of a command. A part of the contract with users: the numbers never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    Complete,
    /// An error of redlake or of the machine.
    Internal,
    /// Bad usage or configuration.
    Usage,
    /// Some searches failed; all else is committed.
    Partial,
    /// The provider refuses the token or its permission.
    Denied,
    /// A budget, the quota or the balance is used up.
    Stopped,
    /// The data is refused: by the pipeline's `contract:`, by a data check, or because a file is
    /// damaged.
    Refused,
    /// The pipeline is already running.
    Busy,
    /// No search delivered anything: an outage, or a pipeline whose every request is wrong.
    Undelivered,
    /// `status` found something wrong.
    Unhealthy,
    /// A signal with this number stopped the run.
    Signal(u8),
}

impl ExitCode {
    pub fn number(self) -> u8 {
        match self {
            ExitCode::Complete => 0,
            ExitCode::Internal => 1,
            ExitCode::Usage => 2,
            ExitCode::Partial => 3,
            ExitCode::Denied => 4,
            ExitCode::Stopped => 5,
            ExitCode::Refused => 6,
            ExitCode::Busy => 7,
            ExitCode::Undelivered => 8,
            ExitCode::Unhealthy => 9,
            ExitCode::Signal(signal) => 128 + signal,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}
