use std::process::ExitCode;

fn main() -> ExitCode {
    redlake::cli::main()
}
