//! `cargo xtask daemon-clients`: `carrick p2pd` in the place of go-libp2p-daemon, driven by those clients that other languages
//! have for it. Each is a program in interop/daemon that starts the daemons itself; what they print is the transcript.

use crate::interop::peers::{BUILD, install_js, install_py};
use crate::programs;
use crate::steps::{Steps, has_program};
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds, installs and runs; fails when something is missing, or one of them was not served.
pub(crate) fn run() -> Result<(), String> {
    for tool in ["npm", "python3"] {
        if !has_program(tool) {
            return Err(format!("daemon-clients need {tool}"));
        }
    }
    let mut steps = Steps::default();
    let carrick = programs::build(&mut steps)?.join("carrick");
    install_js("daemon/js", &mut steps)?;
    install_py("daemon/py", &mut steps)?;
    let folder = p2pd(&carrick)?;
    println!("@libp2p/daemon-client, JavaScript");
    let mut js = Command::new(format!("{BUILD}/daemon/js/node_modules/.bin/node"));
    js.arg(format!("{BUILD}/daemon/js/client.mjs"))
        .arg(folder.join("p2pd"));
    steps.run("interop/daemon/js", &mut js)?;
    println!("p2pclient, Python");
    // It takes the daemon that is in the path.
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([folder].into_iter().chain(env::split_paths(&path)));
    let mut py = Command::new(format!("{BUILD}/daemon/py/bin/python"));
    py.arg("interop/daemon/py/client.py").env(
        "PATH",
        path.map_err(|error| format!("cannot add to PATH: {error}"))?,
    );
    steps.run("interop/daemon/py", &mut py)?;
    eprint!("{}", steps.summary());
    Ok(())
}

/// A folder with nothing in it but the program, by the name that these clients know.
fn p2pd(carrick: &Path) -> Result<PathBuf, String> {
    let cannot = |error: std::io::Error| format!("cannot link p2pd: {error}");
    let program = fs::canonicalize(carrick).map_err(cannot)?;
    let folder = format!("{BUILD}/daemon/bin");
    fs::create_dir_all(&folder).map_err(cannot)?;
    let folder = fs::canonicalize(folder).map_err(cannot)?;
    let link = folder.join("p2pd");
    // One of an earlier build may be there.
    let _ = fs::remove_file(&link);
    symlink(program, link).map_err(cannot)?;
    Ok(folder)
}
