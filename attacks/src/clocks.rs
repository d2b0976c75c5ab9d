//! A victim whose clocks are ours: its monotonic clock starts ten years ahead, in a time namespace, and its wall clock can be
//! moved while it runs, by a small library that is compiled here.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// The library and the file that says how far the wall clock is off; gone when dropped.
pub(crate) struct Clocks {
    folder: PathBuf,
}

impl Clocks {
    /// Compiles the library; needs a C compiler.
    pub(crate) fn new() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("carrick-clocks-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let clocks = Self { folder };
        fs::write(clocks.folder.join("wall.c"), include_str!("../wall.c"))
            .and_then(|()| shift(&clocks.shift_file(), 0))
            .map_err(|error| format!("{}: {error}", clocks.folder.display()))?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([clocks.library(), clocks.folder.join("wall.c")])
            .output()
            .map_err(|error| format!("cannot run `cc`: {error}"))?;
        if !compiled.status.success() {
            return Err(String::from_utf8_lossy(&compiled.stderr).into_owned());
        }
        Ok(clocks)
    }

    /// What stands before the victim's program.
    pub(crate) fn wrap(&self) -> Vec<String> {
        vec![
            "unshare".to_owned(),
            "--time".to_owned(),
            format!("--monotonic={AHEAD_S}"),
            format!("--boottime={AHEAD_S}"),
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library().display()),
            format!("WALL_SHIFT={}", self.shift_file().display()),
        ]
    }

    /// Where the shift stands.
    pub(crate) fn shift_file(&self) -> PathBuf {
        self.folder.join("shift")
    }

    fn library(&self) -> PathBuf {
        self.folder.join("wall.so")
    }
}

impl Drop for Clocks {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Moves the wall clock of whoever reads `file` to `seconds` from what it should be.
pub(crate) fn shift(file: &Path, seconds: i64) -> io::Result<()> {
    // Not anew: the file is mapped.
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(file)?;
    io::Write::write_all(&mut file, &seconds.to_ne_bytes())
}

/// Ten years.
pub(crate) const AHEAD_S: u64 = 10 * 365 * 24 * 3600;
