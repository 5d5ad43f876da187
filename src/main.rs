use std::process::ExitCode;

fn main() -> ExitCode {
    // Nothing but in tests, which cut the program off at places that FAILPOINTS names.
    let _failpoints = fail::FailScenario::setup();
    redlake::cli::main()
}
