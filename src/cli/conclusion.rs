//! The end of a run: its exit code, or the error that says why it ended early.

use crate::cli::environment::Environment;
use crate::cli::error::CliError;
use crate::cli::error::explain::{MEND, decide};
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::{counted, priced};
use crate::cli::signals::INTERRUPT;
use crate::extract::budget::{BudgetLimit, Exhausted};
use crate::extract::context::Cut;
use crate::plan::Plan;
use crate::run::outcome::{Left, RunEnd, RunOutcome};
use crate::spec::class::CallClass;
use crate::spec::yaml::escape::escaped_line;

/// Returns the exit code of a run. `signal` is the number of the signal that stopped it, or 0.
///
/// # Errors
/// The run ended early, or its tables were not committed.
pub fn conclude(
    outcome: &RunOutcome,
    plan: &Plan,
    environment: &Environment,
    signal: u8,
) -> Result<ExitCode, CliError> {
    match outcome.end() {
        RunEnd::Complete => Ok(ExitCode::Complete),
        RunEnd::Partial => Ok(ExitCode::Partial),
        RunEnd::Undelivered => Err(undelivered(outcome)),
        RunEnd::Refused(reason) => Err(not_committed(reason, MEND.to_owned())),
        RunEnd::Blocked(reason) => {
            let hint = decide(&outcome.meta.run_id, &outcome.lake);
            Err(not_committed(reason, hint))
        }
        RunEnd::Cut(Cut::Aborted {
            class,
            message,
            source,
        }) => Err(aborted(plan, environment, *class, message, source)),
        RunEnd::Cut(Cut::Stopped {
            message, source, ..
        }) => {
            let hint = format!(
                "fetched pages are kept; run again when there is quota or balance{}",
                left(outcome, plan)
            );
            Err(refused(ExitCode::Stopped, source, message, hint))
        }
        RunEnd::Cut(Cut::Budget(exhausted)) => Err(out_of_budget(exhausted, outcome, plan)),
        RunEnd::Cut(Cut::Interrupted) => {
            let signal = if signal == 0 { INTERRUPT } else { signal };
            Ok(ExitCode::Signal(signal))
        }
        RunEnd::Cut(Cut::Broken) => Ok(ExitCode::Internal),
    }
}

fn undelivered(outcome: &RunOutcome) -> CliError {
    let failures = outcome.failures();
    let searches = counted(failures.len() as u64, "search");
    let first = failures.first().map_or_else(String::new, |failed| {
        let (search, reason) = (escaped_line(&failed.search), escaped_line(&failed.reason));
        format!("; the first is {search}: {reason}")
    });
    let error = anyhow::anyhow!("no search delivered: {searches} failed{first}");
    let hint = "check the provider's state; then run again with --resume failed, or with the same \
                --snapshot-at, to ask for what failed";
    CliError::new(ExitCode::Undelivered, error, Some(hint.to_owned()))
}

fn not_committed(reason: &str, hint: String) -> CliError {
    let error = anyhow::anyhow!("{reason}; no new table was committed");
    CliError::new(ExitCode::Refused, error, Some(hint))
}

fn refused(code: ExitCode, source: &str, message: &str, hint: String) -> CliError {
    let error = anyhow::anyhow!("{source} refused: {}", escaped_line(message));
    CliError::new(code, error, Some(hint))
}

/// Returns the error of a run whose further calls would all have failed.
fn aborted(
    plan: &Plan,
    environment: &Environment,
    class: CallClass,
    message: &str,
    source: &str,
) -> CliError {
    let token = &plan.source(source).auth.env;
    match class {
        CallClass::Auth => {
            let signing = plan.source(source).signing.as_ref();
            let signing = signing.filter(|s| environment.get(&s.secret_env).is_some());
            let signing = signing.map_or_else(String::new, |signing| {
                let (id, secret) = (&signing.app_id_env, &signing.secret_env);
                format!(", and the signing credentials in {id} and {secret}")
            });
            let hint = format!("check the token in {token}{signing}");
            refused(ExitCode::Denied, source, message, hint)
        }
        CallClass::Permission => {
            let hint = format!("check that the token in {token} has permission for this endpoint");
            refused(ExitCode::Denied, source, message, hint)
        }
        CallClass::Ok
        | CallClass::Gone
        | CallClass::Transient
        | CallClass::RateLimited
        | CallClass::Quota
        | CallClass::Balance
        | CallClass::BadRequest
        | CallClass::NotFound
        | CallClass::Server
        | CallClass::Transport
        | CallClass::Timeout
        | CallClass::Invalid
        | CallClass::Mismatch
        | CallClass::Redirected
        | CallClass::Lost
        | CallClass::Unknown => {
            let error = anyhow::anyhow!("{source}: {}", escaped_line(message));
            let hint = "check the source's base_url";
            CliError::new(ExitCode::Usage, error, Some(hint.into()))
        }
    }
}

fn out_of_budget(exhausted: &Exhausted, outcome: &RunOutcome, plan: &Plan) -> CliError {
    let Exhausted {
        limit,
        value,
        spent,
    } = exhausted;
    let (by, again) = match limit {
        BudgetLimit::RequestsPerDay | BudgetLimit::CostPerDay => (
            " today by the runs of this lake",
            "run again on another day, or raise the budget",
        ),
        BudgetLimit::RequestsPerRun | BudgetLimit::CostPerRun => {
            ("", "run again to continue with a fresh budget, or raise it")
        }
    };
    let error = anyhow::anyhow!("the budget `{limit}` of {value} is used up: {spent} spent{by}");
    let hint = format!("fetched pages are kept; {again}{}", left(outcome, plan));
    CliError::new(ExitCode::Stopped, error, Some(hint))
}

/// Returns the line about the searches, calls and cost that a run has left.
fn left(outcome: &RunOutcome, plan: &Plan) -> String {
    let Left {
        searches,
        pages,
        cost,
    } = outcome.left(plan);
    let cost = match (cost, &plan.price.currency) {
        (Some(cost), Some(currency)) => format!(", {}", priced(cost, Some(currency))),
        _ => String::new(),
    };
    format!(
        "\n  left: {} with at most {}{cost}",
        counted(searches, "search"),
        counted(pages, "call")
    )
}
