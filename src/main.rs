//! The `trueup` binary: arguments in, exit code out.

fn main() {}
