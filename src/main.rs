//! The `trueup` binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().expect("nothing can have come before the first line");
    // Before any thread exists, as it gives up the user and becomes another program.
    if std::env::args_os().nth(1).is_some_and(|verb| verb == trueup::provider::local::supervisor::VERB) {
        let error = trueup::provider::local::supervisor::supervise_exec();
        // 126, as shells say it of what cannot be run; where standard error is gone, the supervisor was told anyway.
        return std::io::Write::write_all(&mut std::io::stderr(), format!("{error}\n").as_bytes())
            .map_or(ExitCode::from(125), |()| ExitCode::from(126));
    }
    trueup::cli::run(std::env::args_os())
}
