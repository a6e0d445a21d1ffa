//! Decides the exit code of a run: 0 valid, 2 void, 1 not run. The plan is a JSON file, or `-`.
//! Deliberately has no flags: what a run was is one document, kept beside its result.

use p402_benches::load::plan::Plan;
use p402_benches::load::run;
use std::io::{self, Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(why) => {
            // Nothing is left to do where even the error stream is gone.
            let _ = writeln!(io::stderr(), "load: {why}");
            ExitCode::from(1)
        }
    }
}

fn measure() -> Result<bool, String> {
    let path = std::env::args().nth(1).ok_or("usage: load PLAN.json (or - for standard input)")?;
    let mut text = String::new();
    if path == "-" {
        io::stdin().read_to_string(&mut text).map_err(|e| e.to_string())?;
    } else {
        text = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    }
    let plan = Plan::read(&text)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let report = tokio::task::LocalSet::new().block_on(&runtime, run::run(&plan))?;
    writeln!(io::stdout(), "{report}").map_err(|e| e.to_string())?;
    Ok(report.get("void") == Some(&serde_json::Value::Bool(false)))
}
