//! A Python interpreter with grpcio.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::sync::OnceCell;

use super::{folder, is_left, read, run};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python");

/// The interpreter, made when it is first asked for; or what this machine lacks for it.
pub async fn interpreter() -> Result<&'static Path, &'static str> {
    static INTERPRETER: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    let made = INTERPRETER.get_or_init(prepare).await;
    made.as_deref().map_err(String::as_str)
}

async fn prepare() -> Result<PathBuf, String> {
    let (folder, _lock) = folder("grpcio");
    let scripts = Path::new(SCRIPTS);
    let version = run(scripts, "python3", "--version").await?;
    let installed = format!("{version}{}", read(&scripts.join("requirements.txt")));
    let (venv, stamp) = (folder.join("venv"), folder.join("installed"));
    let python = venv.join("bin/python");
    if !is_left(&stamp, &installed) {
        // It is not there the first time.
        let _outcome = fs::remove_dir_all(&venv);
        run(&folder, "python3", "-m venv venv").await?;
        let pip = "-m pip install --quiet --disable-pip-version-check --no-input --no-deps \
                   --only-binary :all: --requirement requirements.txt";
        run(scripts, &python, pip).await?;
        run(scripts, &python, "-m pip check").await?;
        fs::write(stamp, &installed).expect("a file");
    }
    Ok(python)
}
