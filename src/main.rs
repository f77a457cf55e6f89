//! The `trueup` binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().expect("nothing can have come before the first line");
    trueup::cli::run(std::env::args_os())
}
