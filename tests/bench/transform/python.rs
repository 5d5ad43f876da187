//! The Python that the rivals run in.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::repository;

const FOLDER: &str = "tests/bench/transform";
const IMPORTS: &str = "import dlt, duckdb, orjson, polars, pyarrow";

pub struct Python {
    program: PathBuf,
}

impl Python {
    /// `$PYTHON`, or that of the active virtual environment; else one of its own below `folder`,
    /// which it makes if needed, with `python3` from the path.
    ///
    /// # Errors
    /// No Python, or one that lacks a rival.
    pub fn find(folder: &Path) -> Result<Self, String> {
        let given = std::env::var_os("PYTHON").map(PathBuf::from);
        let active = || Some(Path::new(&std::env::var_os("VIRTUAL_ENV")?).join("bin/python"));
        let python = match given.or_else(active) {
            Some(program) => Python { program },
            None => Python::of_its_own(&folder.join("venv"))?,
        };
        python.check()?;
        Ok(python)
    }

    fn of_its_own(venv: &Path) -> Result<Self, String> {
        let python = Python {
            program: venv.join("bin/python"),
        };
        let requirements = repository(FOLDER).join("requirements.txt");
        let wanted = std::fs::read_to_string(&requirements).map_err(|e| e.to_string())?;
        let installed = venv.join("requirements.txt");
        if std::fs::read_to_string(&installed).is_ok_and(|has| has == wanted) {
            return Ok(python);
        }
        println!("installing the rivals into {}", venv.display());
        succeed(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        let mut pip = python.command(&pip);
        succeed(pip.arg("-r").arg(requirements))?;
        std::fs::write(installed, wanted).map_err(|e| e.to_string())?;
        Ok(python)
    }

    fn check(&self) -> Result<(), String> {
        succeed(&mut self.command(&["-c", IMPORTS])).map_err(|problem| {
            format!("{problem}\nInstall {FOLDER}/requirements.txt there, or unset PYTHON and VIRTUAL_ENV.")
        })
    }

    /// A script of this folder, with arguments.
    pub fn script(&self, script: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(repository(FOLDER).join(script)).args(args);
        // The scripts stand in the repository, which is no place for their compiled form.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args);
        command
    }
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("cannot run {}: {error}", command.get_program().display()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{command:?} ended with {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        )),
    }
}
