//! The stacks whose node may be the victim: how each is started with its own defaults, and how it is told to stop.

use std::path::Path;

use clap::ValueEnum;

/// A stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stack {
    /// `carrick listen`
    Carrick,
    /// rust-libp2p: `interop/rust`
    Rust,
    /// js-libp2p: `interop/js`
    Js,
}

impl Stack {
    /// As in the scorecard.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Carrick => "carrick",
            Self::Rust => "rust-libp2p",
            Self::Js => "js-libp2p",
        }
    }

    /// The command that serves at the addresses which follow it. `carrick` is our own program, and `built` the folder with
    /// what `cargo xtask interop` has built of the others.
    pub(crate) fn line(self, carrick: &Path, command: &str, built: &Path) -> Vec<String> {
        let words = |program: &Path, args: &[&str]| {
            let args = args.iter().map(|arg| (*arg).to_owned());
            [program.display().to_string()]
                .into_iter()
                .chain(args)
                .collect()
        };
        let script = built.join("js/peer.mjs").display().to_string();
        match self {
            Self::Carrick => words(carrick, &[command]),
            Self::Rust => words(&built.join("rust/release/rust-peer"), &["serve"]),
            Self::Js => words(
                &built.join("js/node_modules/.bin/node"),
                &[&script, "serve"],
            ),
        }
    }

    /// Whether it stops by SIGTERM; the others do when their stdin ends.
    pub(crate) fn heeds_signals(self) -> bool {
        self == Self::Carrick
    }
}
