use std::process::ExitCode;

fn main() -> ExitCode {
    // Has an effect in tests only, which stop the program at places that FAILPOINTS names.
    let _failpoints = fail::FailScenario::setup();
    redlake::cli::main()
}
