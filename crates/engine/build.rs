//! Builds the server's key management plugin, which the program contains and writes to its data directory.

use std::path::PathBuf;
use std::process::ExitCode;

const SOURCE: &str = "plugin/dormouse_keys.c";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={SOURCE}");
    let Some(out) = std::env::var_os("OUT_DIR") else {
        println!("cargo::error=cargo sets no OUT_DIR");
        return ExitCode::FAILURE;
    };
    let library = PathBuf::from(out).join("dormouse_keys.so");
    let compiler = cc::Build::new()
        .opt_level(2)
        .pic(true)
        .warnings_into_errors(true)
        .extra_warnings(true)
        .get_compiler();
    let mut command = compiler.to_command();
    // no library is linked: the server has the few functions of libc that it needs
    command
        .args(["-shared", "-nostdlib", "-s", SOURCE, "-o"])
        .arg(&library);
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        other => {
            println!("cargo::error=building {SOURCE} failed: {other:?}");
            ExitCode::FAILURE
        }
    }
}
