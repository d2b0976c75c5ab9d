//! The peers' programs: how each is built on this machine, and how it is started.

use super::matrix::CERTIFICATES;
use crate::programs;
use crate::steps::{Steps, cargo, has_program, quiet};
use clap::ValueEnum;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

/// A program that takes `listen` and `dial ADDR`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its stack's name in the table.
    pub(crate) name: &'static str,
    program: Vec<String>,
}

impl Peer {
    pub(crate) fn new(name: &'static str, program: &[&str]) -> Self {
        Self {
            name,
            program: program.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    /// The same program in a network namespace.
    pub(crate) fn within(&self, namespace: &str) -> Self {
        let enter = ["ip", "netns", "exec", namespace].map(str::to_owned);
        let program = enter.into_iter().chain(self.program.clone()).collect();
        Self { program, ..*self }
    }

    /// The same as a line for a shell.
    pub(crate) fn line(&self) -> String {
        self.program.join(" ")
    }

    /// A command that starts it; arguments follow.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]);
        command
    }
}

/// A foreign stack.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    /// go-libp2p
    Go,
    /// rust-libp2p
    Rust,
    /// js-libp2p
    Js,
    /// py-libp2p
    Py,
}

impl Language {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Rust => "rust",
            Self::Js => "js",
            Self::Py => "py",
        }
    }
}

/// Why a peer cannot run here.
pub(crate) enum Missing {
    /// The machine lacks this program.
    Tool(&'static str),
    /// It could not be built.
    Failed(String),
}

impl From<String> for Missing {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Carrick's own program, built.
pub(crate) fn carrick(steps: &mut Steps) -> Result<Peer, String> {
    let program = programs::build(steps)?.join("interop-carrick");
    Ok(Peer::new("carrick", &[&program.to_string_lossy()]))
}

/// Makes an authority and a certificate for the cells over WSS.
pub(crate) fn certificates(carrick: &Peer, steps: &mut Steps) -> Result<(), String> {
    let mut command = carrick.command();
    command.args(["certificates", CERTIFICATES]);
    steps.run("certificates for wss", quiet(&mut command))
}

/// Builds a foreign peer, as far as something changed since the last time.
pub(crate) fn install(language: Language, steps: &mut Steps) -> Result<Peer, Missing> {
    let need = |tool| {
        if has_program(tool) {
            Ok(())
        } else {
            Err(Missing::Tool(tool))
        }
    };
    fs::create_dir_all(BUILD).map_err(|error| format!("cannot make {BUILD}: {error}"))?;
    let name = language.name();
    match language {
        Language::Go => {
            need("go")?;
            let mut build = Command::new("go");
            build
                .args(["build", "-o", "../.build/go-peer", "."])
                .current_dir("interop/go");
            steps.run("build interop/go", quiet(&mut build))?;
        }
        Language::Rust => {
            let args = [
                "build",
                "--release",
                "--locked",
                "--manifest-path",
                "interop/rust/Cargo.toml",
            ];
            let mut build = cargo(&args);
            build.env("CARGO_TARGET_DIR", "interop/.build/rust");
            steps.run("build interop/rust", quiet(&mut build))?;
        }
        Language::Js => {
            need("npm")?;
            install_js(name, steps)?;
        }
        Language::Py => {
            need("python3")?;
            install_py(name, steps)?;
        }
    }
    Ok(Peer::new(name, program(language)))
}

/// The peer as it was built, if it was.
pub(crate) fn built(language: Language) -> Option<Peer> {
    let program = program(language);
    let there = program.iter().all(|file| Path::new(file).exists());
    there.then(|| Peer::new(language.name(), program))
}

/// How a built peer is started.
const fn program(language: Language) -> &'static [&'static str] {
    match language {
        Language::Go => &["interop/.build/go-peer"],
        Language::Rust => &["interop/.build/rust/release/rust-peer"],
        Language::Js => &[
            "interop/.build/js/node_modules/.bin/node",
            "interop/.build/js/peer.mjs",
        ],
        Language::Py => &["interop/.build/py/bin/python", "interop/py/peer.py"],
    }
}

pub(crate) const BUILD: &str = "interop/.build";

/// Installs `interop/NAME` in the build's folder of that name. Modules are found beside the file that names them, so the
/// sources are copied to where the packages go.
pub(crate) fn install_js(name: &str, steps: &mut Steps) -> Result<(), String> {
    let (source, built) = (format!("interop/{name}"), format!("{BUILD}/{name}"));
    let folder = Path::new(&built);
    let io = |error: io::Error| format!("cannot copy {source} to {built}: {error}");
    fs::create_dir_all(folder).map_err(io)?;
    for entry in fs::read_dir(&source).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.path().is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).map_err(io)?;
        }
    }
    let lock = format!("{source}/package-lock.json");
    let product = format!("{built}/node_modules/.bin/node");
    once(name, &lock, &product, || {
        steps.run(
            &format!("npm ci for {source}"),
            quiet(Command::new("npm").arg("ci").current_dir(folder)),
        )
    })
}

/// Makes a virtual environment for `interop/NAME` in the build's folder of that name.
pub(crate) fn install_py(name: &str, steps: &mut Steps) -> Result<(), String> {
    let (source, built) = (format!("interop/{name}"), format!("{BUILD}/{name}"));
    fs::create_dir_all(&built).map_err(|error| format!("cannot make {built}: {error}"))?;
    let lock = format!("{source}/requirements.txt");
    once(name, &lock, &format!("{built}/bin/python"), || {
        let venv = ["-m", "venv", "--clear", &built];
        steps.run(
            &format!("python3 -m venv for {source}"),
            quiet(Command::new("python3").args(venv)),
        )?;
        let args = [
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
            &lock,
        ];
        steps.run(
            &format!("pip install for {source}"),
            quiet(Command::new(format!("{built}/bin/pip")).args(args)),
        )
    })
}

/// Runs `install` unless it has already succeeded with this very lock file, and `product` is still there.
fn once(
    name: &str,
    lock: &str,
    product: &str,
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let stamp = format!("{BUILD}/{name}.stamp");
    let wanted = fs::read(lock).map_err(|error| format!("cannot read {lock}: {error}"))?;
    if Path::new(product).exists() && fs::read(&stamp).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(&stamp, wanted).map_err(|error| format!("cannot write {stamp}: {error}"))
}
